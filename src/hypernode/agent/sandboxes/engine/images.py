"""Images in a container engine's own store: the engine pulls them, we know which of them are ours.

Before it pulls, we ask the registry ourselves: whether whoever asks may have the image, how large it is, and that it
isn't in the operator's own network. What the engine then unpacks we can only watch, and stop when it becomes too much.

Ours are those that were not there when we first needed them. They are noted in a file, before they are pulled, and
removed by the name we pulled them under, so that an image which the operator has under another name stays. What an
engine finishes pulling after we broke the pull off is removed, too, once it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.images import lookup
from hypernode.agent.images.lookup import Found, fingerprint
from hypernode.agent.images.sharing import SharedWork
from hypernode.agent.sandboxes.base import Image, ImageError, Login, SandboxError
from hypernode.agent.sandboxes.engine.api import START_S, EngineClient, Refused, persistently
from hypernode.agent.sandboxes.engine.find import Engine
from hypernode.agent.sandboxes.engine.pulling import PULL_S, pull, too_large
from hypernode.images import manifests, references, registry
from hypernode.images.manifests import Unusable
from hypernode.images.reach import Reach
from hypernode.images.references import Reference
from hypernode.kernel import errors, limits

PULLS: Final = 2
GRANTS: Final = 4096
BROKEN_OFF: Final = 256
BROKEN_OFF_NS: Final = int(PULL_S * 1e9)
"""How long an engine may take to finish a pull that was broken off."""

log = logging.getLogger(__name__)


class _Kept(msgspec.Struct):
    """An image of ours, in the file."""

    size_bytes: int
    used_at_ns: int


class _Noted(msgspec.Struct):
    """The file."""

    ours: dict[str, _Kept] = {}
    public: dict[str, str] = {}
    """Names under which a registry gave an image to everybody, each with that of the manifest for this machine."""
    broken_off: dict[str, int] = {}
    """Names whose pull was broken off, and when, in nanoseconds since 1970."""


class _Inspected(msgspec.Struct, rename="pascal"):
    id: str
    size: int = 0
    os: str = ""
    architecture: str = ""
    config: msgspec.Raw = msgspec.Raw(b"null")


class EngineImages:
    """Implements `base.Images` for one engine, whatever its runtimes. `folder` is this object's alone.

    At most `bound_bytes` of what it had pulled are kept but for what is in use; the least recently used go first.
    """

    def __init__(self, engine: Engine, folder: Path, bound_bytes: int, *, reach: Reach | None = None) -> None:
        """`reach` says which registries may have addresses that aren't public. Touches nothing yet."""
        self._engine = engine
        self._api = EngineClient(engine.socket)
        self._file = folder / "images.json"
        self._bound = bound_bytes
        self._reach = reach or Reach()
        self._ours: dict[str, _Kept] = {}  # by pinned name
        self._broken_off: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._granted: dict[tuple[str, bytes], str] = {}
        self._pulls = SharedWork()
        self._slots = asyncio.Semaphore(PULLS)
        self._opening = asyncio.Lock()
        self._open = False

    @property
    def used_bytes(self) -> int:
        """Bytes of all images of ours, each as large as if it shared no layer with others."""
        return sum(kept.size_bytes for kept in self._ours.values())

    async def close(self) -> None:
        """Drop every connection. The images stay."""
        await self._api.close()

    @contextlib.asynccontextmanager
    async def hold(self, reference: str, login: Login | None = None) -> AsyncIterator[Image]:
        """See `base.Images.hold`."""
        await self._look()
        name = references.parse(reference)
        access = (name.pinned, fingerprint(login))
        found = None
        own = self._granted.get(access)
        if own is None:
            found = await self._ask(name, login)
            own = found.reference.pinned
        self._held[own] = self._held.get(own, 0) + 1
        try:
            inspected = await self._inspect(own)
            if inspected is None:
                inspected = await self._fetch(found or await self._ask(name, login), login)
            image = _image(inspected, name)
            if len(self._granted) >= GRANTS:
                self._granted.clear()
            self._granted[access] = own
            if own in self._ours:
                self._ours[own].used_at_ns = time.time_ns()
                self._save()
            yield image
        finally:
            self._held[own] -= 1
            if not self._held[own]:
                del self._held[own]

    # ------------------------------------------------------------------------------------------------ asking

    async def _ask(self, name: Reference, login: Login | None) -> Found:
        pair = (login.username, login.password) if login is not None else None

        async def fetch(one: Reference) -> bytes:
            try:
                return await registry.fetch(one, pair, reach=self._reach)
            except errors.HypernodeError as error:
                raise _failed(one, error) from error

        return await lookup.ask(name, fetch, self._reach, min(limits.IMAGE_BYTES, self._bound))

    async def _inspect(self, own: str) -> _Inspected | None:
        """What the engine knows about an image, None if it doesn't have it."""
        try:
            return await self._api.ask("GET", f"/images/{own}/json", _Inspected)
        except Refused as error:
            if error.status == 404:
                return None
            raise ImageError("image.failed", f"{self._engine.name} does not say what it has: {error}") from error
        except SandboxError as error:
            raise ImageError("image.failed", str(error)) from error

    # ------------------------------------------------------------------------------------------------ pulling

    async def _fetch(self, found: Found, login: Login | None) -> _Inspected:
        own = found.reference.pinned
        await self._pulls.join(own, lambda: self._pull(found, login))
        inspected = await self._inspect(own)
        if inspected is None:
            raise ImageError("image.failed", f"{self._engine.name} pulled it and does not have it; its log may say why")
        return inspected

    async def _pull(self, found: Found, login: Login | None) -> None:
        own = found.reference.pinned
        async with self._slots:
            await self._settle()
            self._broken_off.pop(own, None)
            started = time.monotonic()
            kept = self._ours[own] = _Kept(found.manifest.size_bytes, time.time_ns())
            self._save()
            try:
                await pull(self._api, self._engine, found.reference, login, reach=self._reach, most_bytes=self._most)
                inspected = await self._inspect(own)
                kept.size_bytes = inspected.size if inspected is not None else 0
                if kept.size_bytes > self._most:
                    raise too_large(self._most)
                await self._make_room()
            except BaseException:
                self._breaks_off(own)
                await self._remove(own)
                raise
            finally:
                self._save()
            log.info("pulled %s: %d bytes in %.1f s", own, kept.size_bytes, time.monotonic() - started)

    @property
    def _most(self) -> int:
        return min(limits.IMAGE_BYTES, self._bound)

    # ------------------------------------------------------------------------------------------------ keeping

    async def _make_room(self) -> None:
        """Remove what was used longest ago and nobody holds until the bound holds. Raises ImageError."""
        for own, kept in sorted(self._ours.items(), key=lambda item: item[1].used_at_ns):
            if self.used_bytes <= self._bound:
                return
            if own not in self._held and self._ours.get(own) is kept:
                await self._remove(own)
        if self.used_bytes > self._bound:
            raise ImageError("image.failed", f"no room: {self._bound} bytes are taken by images of running jobs")

    async def _remove(self, own: str) -> bool:
        """Have the engine forget our name for an image, and the image if nothing else names it: True if it had it. What
        a container still uses, and what an engine that is away has, stays ours and is removed another time."""
        had = True
        try:
            # Podman fails while a pull that was broken off is still on its way out.
            await persistently(lambda: self._api.do("DELETE", f"/images/{own}", within_s=START_S))
        except Refused as error:
            if error.status != 404:
                log.info("%s keeps %s: %s", self._engine.name, own, error)
                return False
            had = False
        except SandboxError as error:
            log.warning("%s keeps %s: %s", self._engine.name, own, error)
            return False
        self._ours.pop(own, None)
        self._save()
        return had

    def _breaks_off(self, own: str) -> None:
        self._broken_off[own] = time.time_ns()
        while len(self._broken_off) > BROKEN_OFF:
            del self._broken_off[next(iter(self._broken_off))]

    async def _settle(self) -> None:
        """Remove what came of pulls that had been broken off: Podman stores an image whose last byte it has, whoever
        still waits for it, and says nowhere when it is done."""
        for own, since_ns in list(self._broken_off.items()):
            if own in self._held:
                continue
            if await self._remove(own) or time.time_ns() - since_ns > BROKEN_OFF_NS:
                self._broken_off.pop(own, None)

    async def _look(self) -> None:
        """Learn, once, which images are ours."""
        async with self._opening:
            if self._open:
                return
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                noted = msgspec.json.decode(self._file.read_bytes(), type=_Noted)
                self._ours, self._broken_off = noted.ours, noted.broken_off
                self._granted = {(name, b""): own for name, own in noted.public.items()}
            for own in list(self._ours):
                if await self._inspect(own) is None:
                    del self._ours[own]
                    self._breaks_off(own)  # by the end of the agent that pulled it
            self._open = True

    def _save(self) -> None:
        new = self._file.with_suffix(".new")
        public = {name: own for (name, login), own in self._granted.items() if not login and own in self._ours}
        new.write_bytes(msgspec.json.encode(_Noted(self._ours, public, self._broken_off)))
        new.replace(self._file)


def _image(inspected: _Inspected, name: Reference) -> Image:
    about = {"os": inspected.os, "architecture": inspected.architecture, "config": inspected.config}
    try:
        process = manifests.configuration(msgspec.json.encode(about), platform.machine())
    except Unusable as error:
        raise ImageError("image.unsupported", f"{name.pinned}: {error}", job_fault=not error.machine) from error
    return Image(
        root=inspected.id,
        entrypoint=process.entrypoint or (),
        command=process.command or (),
        environment=process.variables(),
        working_folder=process.folder or "",
    )


def _failed(reference: Reference, error: errors.HypernodeError) -> ImageError:
    match error:
        case errors.ImageNotFound() | errors.ImageDenied():
            return ImageError(error.code, str(error), job_fault=True)
        case errors.ImageInvalid():
            return ImageError("image.unsupported", str(error), job_fault=True)
        case errors.RegistryUnreachable():
            return ImageError(error.code, f"{reference.registry} cannot be asked from this node")
        case _:
            return ImageError("image.denied", str(error))
