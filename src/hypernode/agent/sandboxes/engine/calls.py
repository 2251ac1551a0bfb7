"""What is asked of an engine, in its own words where Docker and Podman differ."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import httpx
import msgspec

from hypernode.agent.sandboxes import seccomp
from hypernode.agent.sandboxes.engine import container, sweep, world
from hypernode.agent.sandboxes.engine.api import CALL_S, START_S, EngineClient, Refused, persistently
from hypernode.agent.sandboxes.engine.container import Container
from hypernode.agent.sandboxes.engine.ending import Inspected, State
from hypernode.agent.sandboxes.engine.find import Engine, Kind

LIBPOD: Final = "/v4.0.0/libpod"
NOT_FOUND: Final = 404
LOOK: Final = "20ms"
"""How often Podman looks whether a container that is waited for has ended."""


class ImageWants(msgspec.Struct, rename="pascal"):
    """What an image's configuration asks for, as far as a container would get it by itself."""

    env: list[str] | None = None
    volumes: dict[str, object] | None = None


class _InspectedImage(msgspec.Struct, rename="pascal"):
    config: ImageWants | None = None


class _Created(msgspec.Struct, rename="pascal"):
    id: str


class _Waited(msgspec.Struct, rename="pascal"):
    status_code: int


class _ListedImage(msgspec.Struct, rename="pascal"):
    id: str


class EngineCalls:
    """Calls to one engine for one home. Each raises Refused, or SandboxError `sandbox.engine_lost`."""

    def __init__(self, engine: Engine, prefix: str, first_user: int, home: Path) -> None:
        """Touches nothing."""
        self._podman = engine.kind is Kind.PODMAN
        self._prefix = prefix
        self._first_user = first_user
        self._profile = home / "seccomp.json"
        self._base = ""
        self._basing = asyncio.Lock()
        self.client = EngineClient(engine.socket)

    def write_profile(self) -> None:
        """Podman reads the system call profile from a file."""
        self._profile.write_text(container.profile(seccomp.profile()))

    @property
    def profile(self) -> str:
        """The system call profile, as the engine wants it named."""
        return str(self._profile) if self._podman else container.profile(seccomp.profile())

    async def make_volume(self, name: str, device: str, labels: dict[str, str]) -> None:
        """A volume that shows a device of this host for as long as a container has it."""
        await self.client.do("POST", "/volumes/create", body=container.volume(name, device, labels))

    async def make(self, described: Container) -> str:
        """The id of a new container."""
        if self._podman:
            path, query, body = f"{LIBPOD}/containers/create", {}, container.podman(described)
        else:
            path, query, body = "/containers/create", {"name": described.name}, container.docker(described)
        return (await self.client.ask("POST", path, _Created, body=body, query=query, within_s=START_S)).id

    async def attach(self, name: str) -> httpx.Response:
        """Both streams of a container that is not started yet. Podman starts all but its program here."""
        return await self.client.open("POST", f"/containers/{name}/attach", {"stream": 1, "stdout": 1, "stderr": 1})

    async def start(self, name: str) -> None:
        """Start a container."""
        await self.client.do("POST", f"/containers/{name}/start", within_s=START_S)

    async def state(self, name: str) -> State:
        """What the engine says of a container. Podman looks at its process for that, and fails if it ends meanwhile."""
        return (await persistently(lambda: self.client.ask("GET", f"/containers/{name}/json", Inspected))).state

    async def wait(self, name: str, within_s: float) -> int:
        """A container's exit code, once it has ended."""
        return await persistently(lambda: self._wait(name, within_s + CALL_S))

    async def kill(self, name: str) -> None:
        """SIGKILL to a container's first process, and with it to all of them."""
        await self.client.do("POST", f"/containers/{name}/kill", query={"signal": "SIGKILL"})

    async def remove(self, name: str) -> None:
        """Remove a container and its anonymous volumes, if there is one."""
        await self._delete(f"/containers/{name}")

    async def remove_volume(self, name: str) -> None:
        """Remove a volume, if there is one."""
        await self._delete(f"/volumes/{name}")

    async def image_wants(self, image: str) -> ImageWants:
        """What an image asks for."""
        return (await self.client.ask("GET", f"/images/{image}/json", _InspectedImage)).config or ImageWants()

    async def base_image(self) -> str:
        """The id of the image of tasks without one, loaded if it is not there."""
        async with self._basing:
            if self._base:
                return self._base
            made = await asyncio.to_thread(world.base_image, self._first_user, sweep.LABEL, self._prefix)
            try:
                found = await self._image_id(made.name)
            except Refused as error:
                if error.status != NOT_FOUND:
                    raise
                await self.client.do("POST", "/images/load", query={"quiet": 1}, content=made.archive, within_s=START_S)
                found = await self._image_id(made.name)
            await self._forget_bases(found)
            self._base = found
            return found

    def base_image_is_gone(self) -> None:
        """Somebody may have removed it; the next `base_image` looks."""
        self._base = ""

    async def close(self) -> None:
        """Drop every connection; the next call makes new ones."""
        await self.client.close()
        self.client = EngineClient(self.client.socket)

    async def _wait(self, name: str, within_s: float) -> int:
        if self._podman:  # its version of Docker's call would keep a whole core busy until the end
            query = {"condition": "exited", "interval": LOOK}
            return await self.client.ask(
                "POST", f"{LIBPOD}/containers/{name}/wait", int, query=query, within_s=within_s
            )
        path, query = f"/containers/{name}/wait", {"condition": "not-running"}
        return (await self.client.ask("POST", path, _Waited, query=query, within_s=within_s)).status_code

    async def _image_id(self, name: str) -> str:
        """Engines do not agree on what makes it: an image's configuration or its manifest."""
        return (await self.client.ask("GET", f"/images/{name}/json", _ListedImage)).id

    async def _forget_bases(self, but: str) -> None:
        """Older ones are of a host whose libraries were others."""
        query = {"filters": msgspec.json.encode({"label": [f"{sweep.LABEL}={self._prefix}"]}).decode()}
        for other in await self.client.ask("GET", "/images/json", list[_ListedImage], query=query):
            if other.id.removeprefix("sha256:") != but.removeprefix("sha256:"):
                with contextlib.suppress(Refused):
                    await self.client.do("DELETE", f"/images/{other.id}")

    async def _delete(self, path: str) -> None:
        try:
            query = {"force": 1, "v": 1}
            await persistently(lambda: self.client.do("DELETE", path, query=query, within_s=START_S))
        except Refused as error:
            if error.status != NOT_FOUND:
                raise
