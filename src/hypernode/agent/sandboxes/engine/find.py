"""Which container engines this host has, and what they can run."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from hypernode.agent.sandboxes.base import SandboxError

if TYPE_CHECKING:
    from hypernode.agent.sandboxes.engine.api import EngineClient

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
PLACES: Final = ("/var/run/docker.sock", "/run/podman/podman.sock")
USER_PLACES: Final = ("docker.sock", "podman/podman.sock")
OWN_KERNEL: Final = ("runsc", "kata")
"""Runtimes that give a task a kernel of its own start with one of these."""


class Kind(enum.StrEnum):
    """Which API an engine has beside Docker's."""

    DOCKER = "docker"
    PODMAN = "podman"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """A container engine with one of its OCI runtimes, as it describes itself. Nothing of it is proved."""

    socket: Path
    kind: Kind
    runtime: str
    version: str
    cgroup_driver: str
    """`cgroupfs`, or `systemd`, which lets nobody else make groups for containers."""
    cgroup_version: int
    """0 if it does not say."""
    rootless: bool = False

    @property
    def name(self) -> str:
        """As in `docker/runsc`."""
        return f"{self.kind.value}/{self.runtime}"

    @property
    def own_kernel(self) -> bool:
        """Whether its tasks should find a kernel that is not the host's."""
        return self.runtime.startswith(OWN_KERNEL)


class _Component(msgspec.Struct, rename="pascal"):
    name: str = ""


class _Version(msgspec.Struct, rename="pascal"):
    version: str = ""
    components: list[_Component] | None = None


class _Info(msgspec.Struct, rename="pascal"):
    runtimes: dict[str, object] | None = None
    default_runtime: str = ""
    cgroup_driver: str = ""
    cgroup_version: str = "0"
    security_options: list[str] | None = None


async def find(environment: Mapping[str, str]) -> list[Engine]:
    """Every engine that answers, once for each runtime worth trying, those with a kernel of their own first.

    Looks at DOCKER_HOST (if it names a Unix socket) and at the usual places, some of them below XDG_RUNTIME_DIR. An
    engine that is there and refuses is left out and logged. Takes no time where there is none.
    """
    found: list[Engine] = []
    for socket in sockets(environment):
        try:
            found += await look(socket)
        except SandboxError as error:
            log.warning("a container engine is left out: %s", error)
    return sorted(found, key=lambda engine: not engine.own_kernel)


def sockets(environment: Mapping[str, str]) -> list[Path]:
    """The sockets that exist in the places to look at, each once."""
    places = [*PLACES]
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        places += [f"{runtime}/{place}" for place in USER_PLACES]
    if named := environment.get("DOCKER_HOST"):
        if named.startswith("unix://"):
            places.insert(0, named.removeprefix("unix://"))
        else:
            log.warning("DOCKER_HOST is no Unix socket and is left out: a job's files are on this machine")
    found: dict[Path, None] = {}
    for place in places:
        try:
            path = Path(place).resolve()
            if stat.S_ISSOCK(os.stat(path).st_mode):
                found[path] = None
        except OSError:
            continue
    return list(found)


async def look(socket: Path) -> list[Engine]:
    """The engine behind a socket, once for each runtime worth trying.

    Raises SandboxError `sandbox.unavailable`, saying what to do.
    """
    from hypernode.agent.sandboxes.engine.api import EngineClient, Refused  # a node without an engine does without it

    client = EngineClient(socket)
    try:
        async with asyncio.timeout(LOOK_S):
            return await _ask(client, socket)
    except (SandboxError, Refused, TimeoutError) as error:
        may = "start it" if os.access(socket, os.W_OK) else "run the node as root, or as a user who may use it"
        raise SandboxError("sandbox.unavailable", f"no engine answers at {socket} ({error}): {may}") from error
    finally:
        await client.close()


async def _ask(client: EngineClient, socket: Path) -> list[Engine]:
    version = await client.ask("GET", "/version", _Version)
    info = await client.ask("GET", "/info", _Info)
    podman = any("podman" in component.name.lower() for component in version.components or ())
    kind = Kind.PODMAN if podman else Kind.DOCKER
    options = info.security_options or []
    try:
        cgroup_version = int(info.cgroup_version)
    except ValueError:
        cgroup_version = 0
    return [
        Engine(
            socket=socket,
            kind=kind,
            runtime=runtime,
            version=version.version[:64],
            cgroup_driver=info.cgroup_driver,
            cgroup_version=cgroup_version,
            rootless=any("rootless" in option for option in options),
        )
        for runtime in _runtimes(kind, info)
    ]


def _runtimes(kind: Kind, info: _Info) -> list[str]:
    """Those with a kernel of their own, and the one that the engine prefers."""
    default = info.default_runtime or "runc"
    if kind is Kind.PODMAN:  # it names what it has heard of, and whatever a container asks for, that gets the default
        return [default]
    own = sorted(name for name in info.runtimes or () if name.startswith(OWN_KERNEL))
    return [*own, *([default] if default not in own else [])]
