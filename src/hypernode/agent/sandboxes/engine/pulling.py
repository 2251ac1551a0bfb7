"""Has a container engine pull an image, and watches what that takes."""

from __future__ import annotations

import asyncio
import base64
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.images.meanings import meaning
from hypernode.agent.sandboxes.base import ImageError, Login, SandboxError
from hypernode.agent.sandboxes.engine.api import EngineClient, Refused
from hypernode.agent.sandboxes.engine.find import Engine, Kind
from hypernode.images.reach import Reach
from hypernode.images.references import Reference
from hypernode.kernel import limits

PULL_S: Final = 25 * 60.0
WATCH_S: Final = 0.2
SLACK_BYTES: Final = limits.GIB
"""How much of the engine's disk others may fill while we watch it for what a pull takes."""
LINE_BYTES: Final = limits.MIB
LIBPOD: Final = "/v4.0.0/libpod"

log = logging.getLogger(__name__)


class _Info(msgspec.Struct):
    folder: str = msgspec.field(name="DockerRootDir", default="")


class _Line(msgspec.Struct):
    error: str = ""


async def pull(
    api: EngineClient, engine: Engine, reference: Reference, login: Login | None, *, reach: Reach, most_bytes: int
) -> None:
    """Have the engine pull the image of a pinned name. Cancelling it ends the pull.

    Raises ImageError; `image.too_large` once it takes so much disk that it must have more than `most_bytes`.
    """
    path, query = f"{LIBPOD}/images/pull", {"reference": reference.pinned}
    if engine.kind is Kind.DOCKER:
        path = "/images/create"
        query = {"fromImage": f"{reference.registry}/{reference.repository}", "tag": reference.digest}
    else:
        _, host, port = reach.address(reference.registry)
        query["tlsVerify"] = "false" if reach.is_plain(host, port) else "true"
    headers = {"X-Registry-Auth": _authorisation(reference, login)} if login is not None else {}
    try:
        async with asyncio.timeout(PULL_S), api.stream("POST", path, query, headers=headers) as parts:
            said = await _watched(api, engine, parts, most_bytes)
    except Refused as error:
        said = str(error)
    except SandboxError as error:
        raise ImageError("image.failed", str(error)) from error
    except TimeoutError as error:
        raise ImageError("image.registry_unreachable", f"{reference.registry} was too slow") from error
    if said:
        log.info("%s, for %s: %s", engine.name, reference.pinned, said)
        raise meaning(reference, said, engine.name)


async def _watched(api: EngineClient, engine: Engine, parts: AsyncIterator[bytes], most_bytes: int) -> str:
    """Read what the engine says of a pull to its end; its last error. Raises ImageError once it fills the disk."""
    reading = asyncio.ensure_future(_last_error(parts))
    watching = asyncio.ensure_future(_fills_disk(api, engine, most_bytes))
    try:
        await asyncio.wait([reading, watching], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            await watching
            raise too_large(most_bytes)
        return await reading
    finally:
        for task in (reading, watching):
            task.cancel()
        await asyncio.gather(reading, watching, return_exceptions=True)


async def _fills_disk(api: EngineClient, engine: Engine, most_bytes: int) -> None:
    """Returns when more of the engine's disk has gone than an image may take, packed and unpacked."""
    info = await api.ask("GET", "/info", _Info)
    folder = Path(info.folder)
    if not info.folder or not await asyncio.to_thread(folder.is_dir):
        log.warning("%s does not say where it keeps images: how much a pull takes is not watched", engine.name)
        await asyncio.get_running_loop().create_future()
    least = max(shutil.disk_usage(folder).free - 2 * most_bytes - SLACK_BYTES, SLACK_BYTES)
    while True:
        if shutil.disk_usage(folder).free <= least:
            return
        await asyncio.sleep(WATCH_S)


def too_large(most_bytes: int) -> ImageError:
    """An image that takes more than a node gives."""
    return ImageError("image.too_large", f"unpacked it has more than the {most_bytes} bytes this node takes")


def _authorisation(reference: Reference, login: Login) -> str:
    about = {"username": login.username, "password": login.password, "serveraddress": reference.registry}
    return base64.urlsafe_b64encode(msgspec.json.encode(about)).decode()


async def _last_error(parts: AsyncIterator[bytes]) -> str:
    """Of lines of JSON that an engine writes while it pulls, what the last one with an error says."""
    said, rest = "", b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        rest = rest[-LINE_BYTES:]
        for line in lines:
            said = _error_of(line) or said
    return _error_of(rest) or said


def _error_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Line).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
