"""skopeo, which speaks to registries: reads manifests, and copies an image's blobs into a layout on our disk.

It checks every blob against its digest. What it cannot know is bounded from outside: how much of our disk a registry
may fill, and for how long it may keep us waiting. Logins travel in a file that only we can read and that is there for
as long as skopeo runs; without one it must not use the operator's own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from hypernode.agent.images import processes
from hypernode.agent.images.meanings import meaning
from hypernode.agent.images.processes import Ended, TooMuch
from hypernode.agent.sandboxes.base import ImageError, Login
from hypernode.files import write_private
from hypernode.images.manifests import Manifest
from hypernode.images.references import Reference
from hypernode.kernel import limits

ASK_S: Final = 60.0
COPY_S: Final = 25 * 60.0
SLACK_BYTES: Final = 16 * limits.MIB
"""What skopeo may write beyond the blobs themselves: manifests, and its own notes."""

log = logging.getLogger(__name__)


async def manifest(reference: Reference, login: Login | None, folder: Path, *, plain: bool = False) -> bytes:
    """The manifest, or index of manifests, of a pinned name, exactly as the registry has it and not checked yet.

    `folder` is for the login. With `plain` the registry may do without encryption; else this host's registries.conf
    decides. Raises ImageError.
    """
    with _login(reference, login, folder, plain=plain) as (credentials, environment):
        command = [*_skopeo(), "inspect", "--raw", *credentials, f"docker://{reference.pinned}"]
        ended = await _run(
            command,
            reference,
            environment,
            seconds=ASK_S,
            file_bytes=SLACK_BYTES,
            output_bytes=limits.IMAGE_MANIFEST_BYTES,
        )
    return ended.output


async def copy(
    reference: Reference, found: Manifest, login: Login | None, folder: Path, *, plain: bool = False
) -> Path:
    """The image of a pinned name of a manifest, as an OCI layout in the existing `folder`, tagged `image`.

    `found` is that manifest; no more is written than it says. Raises ImageError.
    """
    layout = folder / "layout"
    most = found.size_bytes + found.config.size + SLACK_BYTES
    largest = max(descriptor.size for descriptor in (found.config, *found.layers))
    with _login(reference, login, folder, "src-", plain=plain) as (credentials, environment):
        command = [*_skopeo(), "copy", "--quiet", *credentials, f"docker://{reference.pinned}", f"oci:{layout}:image"]
        await _run(
            command,
            reference,
            environment,
            seconds=COPY_S,
            file_bytes=largest + SLACK_BYTES,
            over=lambda: _size(folder) > most,
        )
    return layout


def _skopeo() -> list[str]:
    # Podman and Buildah know this variable; skopeo has an option.
    conf = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    return ["skopeo", *(["--registries-conf", conf] if conf else [])]


@contextlib.contextmanager
def _login(
    reference: Reference, login: Login | None, folder: Path, prefix: str = "", *, plain: bool
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """skopeo's options for a registry and a login, and the environment it runs in."""
    trust = [f"--{prefix}tls-verify=false"] if plain else []
    with tempfile.TemporaryDirectory(prefix="part-", dir=folder) as scratch:
        environment = {name: value for name, value in os.environ.items() if name != "REGISTRY_AUTH_FILE"}
        environment["TMPDIR"] = scratch  # what it puts aside counts, too
        if login is None:
            yield [f"--{prefix}no-creds", *trust], environment
            return
        proof = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        path = Path(scratch) / "auth.json"
        write_private(path, json.dumps({"auths": {reference.registry: {"auth": proof}}}).encode())
        yield [f"--{prefix}authfile", str(path), *trust], environment


async def _run(
    command: list[str],
    reference: Reference,
    environment: dict[str, str],
    *,
    seconds: float,
    file_bytes: int,
    output_bytes: int = 0,
    over: Callable[[], bool] = lambda: False,
) -> Ended:
    try:
        ended = await processes.run(
            command,
            seconds=seconds,
            file_bytes=file_bytes,
            environment=environment,
            output_bytes=output_bytes,
            over=over,
        )
    except TooMuch as error:
        raise ImageError("image.tampered", f"{reference.registry} gave more than the manifest says") from error
    except TimeoutError as error:
        raise ImageError(
            "image.registry_unreachable", f"{reference.registry} did not give all of it within {seconds:.0f} s"
        ) from error
    except OSError as error:
        raise ImageError("image.failed", f"skopeo cannot be started: {error}; apt install skopeo util-linux") from error
    if ended.code != 0:
        log.info("skopeo, for %s: %s", reference.pinned, _ADDRESS.sub(r"\1", ended.said.strip()))
        raise meaning(reference, ended.said, "skopeo")
    return ended


_ADDRESS: Final = re.compile(r"(https?://[^\s\"?]+)\?[^\s\"]*")


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
