"""Images as folders: fetched by skopeo, unpacked by umoci, kept by digest until room is needed.

    <image>/root/        its files, readable to all
    <image>/image.json   what its configuration says, its size, and the names under which everybody may have it
    part-…/              work under way; of a killed agent, if found at start

A folder gets its name when everything in it is whole and on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.images import lookup, processes, skopeo
from hypernode.agent.images.lookup import Found, fingerprint
from hypernode.agent.images.sharing import SharedWork
from hypernode.agent.sandboxes import folders
from hypernode.agent.sandboxes.base import Image, ImageError, Login
from hypernode.images import manifests, references
from hypernode.images.reach import Reach
from hypernode.kernel import limits

PULLS: Final = 2
"""Images fetched and unpacked at once: each may need three times its size for a while."""
GRANTS: Final = 4096
NAMES: Final = 32
"""Of an image with more names, the oldest are forgotten: under them the registry is asked again."""
UNPACK_S: Final = 25 * 60.0
PROGRAMS: Final = {
    "skopeo": "skopeo",
    "umoci": "umoci",
    "bwrap": "bubblewrap",
    "mkfs.ext4": "e2fsprogs",
    **dict.fromkeys(processes.PROGRAMS, "util-linux"),
}
"""Programs this needs, and the packages they are in."""

log = logging.getLogger(__name__)


def why_not() -> str | None:
    """What keeps this host from unpacking images, as a line that says what to do; None if nothing does."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None}
    return f"install what unpacks images: apt install {' '.join(sorted(missing))}" if missing else None


class _Kept(msgspec.Struct):
    """`image.json`."""

    process: manifests.Process
    size_bytes: int
    public: list[str] = []
    """Pinned names under which a registry gave it to somebody without a login."""


class UnpackedImages:
    """Implements `base.Images`. `folder` is this node's alone; what is below it belongs to this class.

    At most `bound_bytes` of images are kept but for those in use; the least recently used go first. Who names an image
    that is here already gets it if the registry gives it to everybody, or to them: a digest alone opens nothing.
    """

    def __init__(self, folder: Path, bound_bytes: int, *, reach: Reach | None = None) -> None:
        """`reach` says which registries may have addresses that aren't public. Touches nothing yet."""
        self._folder = folder
        self._bound = bound_bytes
        self._reach = reach or Reach()
        self._kept: dict[str, _Kept] = {}  # by hexadecimal digest, in order of use, the least recent first
        self._held: dict[str, int] = {}
        self._granted: dict[tuple[str, bytes], str] = {}
        self._pulls = SharedWork()
        self._slots = asyncio.Semaphore(PULLS)
        self._opening = asyncio.Lock()
        self._open = False

    @property
    def used_bytes(self) -> int:
        """Bytes of all images."""
        return sum(kept.size_bytes for kept in self._kept.values())

    async def reap(self) -> None:
        """Remove what a killed agent left half-made, and learn what is here. Done by itself before the first use."""
        async with self._opening:
            if not self._open:
                await asyncio.to_thread(self._look)
                self._open = True

    @contextlib.asynccontextmanager
    async def hold(self, reference: str, login: Login | None = None) -> AsyncIterator[Image]:
        """See `base.Images.hold`."""
        await self.reap()
        name = references.parse(reference)
        access = (name.pinned, fingerprint(login))
        found, key = None, self._granted.get(access, "")
        if key not in self._kept:
            most = min(limits.IMAGE_BYTES, self._bound)
            plain = self._reach.is_plain_registry(name.registry)

            async def fetch(one: references.Reference) -> bytes:
                return await skopeo.manifest(one, login, self._folder, plain=plain)

            found = await lookup.ask(name, fetch, self._reach, most)
            key = found.reference.digest.removeprefix("sha256:")
        self._held[key] = self._held.get(key, 0) + 1
        try:
            if found is not None:
                await self._fetch(key, found, login)
                self._grant(access, key)
            yield self._use(key)
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    # -------------------------------------------------------------------------------------------- pulling

    async def _fetch(self, key: str, found: Found, login: Login | None) -> None:
        if key not in self._kept:
            await self._pulls.join(key, lambda: self._pull(key, found, login))

    async def _pull(self, key: str, found: Found, login: Login | None) -> None:
        async with self._slots:
            started = time.monotonic()
            part = self._part()
            try:
                plain = self._reach.is_plain_registry(found.reference.registry)
                layout = await skopeo.copy(found.reference, found.manifest, login, part, plain=plain)
                process = await asyncio.to_thread(lookup.process, layout, found.reference)
                whole = part / "whole"
                whole.mkdir(mode=0o700)
                size = await self._unpack(layout, whole / "root")
                kept = _Kept(process, size)
                (whole / "image.json").write_bytes(msgspec.json.encode(kept))
                await self._make_room(size)
                if key not in self._kept:  # a pull that was given up may have come through after all
                    os.rename(whole, self._folder / key)
                    self._kept[key] = kept
            finally:
                await asyncio.to_thread(folders.remove, part)
            log.info("pulled %s: %d bytes in %.1f s", found.reference.pinned, size, time.monotonic() - started)

    async def _unpack(self, layout: Path, target: Path) -> int:
        most = self._room()
        command = [sys.executable, "-P", "-s", "-m", "hypernode.agent.images.unpack", str(layout), str(target)]
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        try:
            ended = await processes.run(
                [*command, str(most), str(limits.IMAGE_FILES)],
                seconds=UNPACK_S,
                file_bytes=2 * limits.IMAGE_BYTES,
                environment=environment,
            )
        except TimeoutError as error:
            raise ImageError("image.too_large", f"it could not be unpacked within {UNPACK_S:.0f} s") from error
        if ended.said:
            log.info("unpacking: %s", ended.said.strip())
        words = ended.output.decode(errors="replace").strip().rpartition("\n")[2].split(" ", 1)
        if ended.code != 0 or words[0] != "ok":
            known = words[0].startswith("image.")
            code, said = (words[0], words[-1]) if known else ("image.failed", f"the unpacker ended with {ended.code}")
            raise ImageError(code, said, job_fault=code == "image.unsupported")
        return int(words[1].split()[0])

    def _room(self) -> int:
        """Bytes an image may have now. While it is unpacked it is there twice."""
        free = shutil.disk_usage(self._folder).free * 45 // 100
        most = min(limits.IMAGE_BYTES, self._bound, free) // limits.MIB * limits.MIB
        if most < 16 * limits.MIB:
            raise ImageError("image.failed", "this node's disk is full")
        return most

    # -------------------------------------------------------------------------------------------- keeping

    def _grant(self, access: tuple[str, bytes], key: str) -> None:
        """Remember that a registry gave an image to whoever asked in this way; what it gives to all, for good."""
        if len(self._granted) >= GRANTS:
            self._granted.clear()
        self._granted[access] = key
        name, login = access
        kept = self._kept[key]
        if not login and name not in kept.public:
            kept.public = [*kept.public[1 - NAMES :], name]
            new = self._folder / key / "image.json.new"
            new.write_bytes(msgspec.json.encode(kept))
            new.replace(self._folder / key / "image.json")

    def _use(self, key: str) -> Image:
        kept = self._kept[key] = self._kept.pop(key)
        path = self._folder / key
        now = time.time_ns()  # the file system's own stamps are too coarse to tell what came first
        os.utime(path / "image.json", ns=(now, now))
        process = kept.process
        return Image(
            root=str(path / "root"),
            entrypoint=process.entrypoint or (),
            command=process.command or (),
            environment=process.variables(),
            working_folder=process.folder or "",
        )

    async def _make_room(self, size: int) -> None:
        """Evict what was used longest ago and nobody holds until `size` more bytes fit. Raises ImageError."""
        used = self.used_bytes
        for key in list(self._kept):
            if used + size <= self._bound:
                return
            if key not in self._held:
                used -= self._kept.pop(key).size_bytes
                doomed = self._part()
                os.rename(self._folder / key, doomed / key)
                await asyncio.to_thread(folders.remove, doomed)
        if used + size > self._bound:
            raise ImageError("image.failed", f"no room: {used} of {self._bound} bytes are images of running jobs")

    def _part(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="part-", dir=self._folder))

    def _look(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for entry in list(os.scandir(self._folder)):
            path = Path(entry.path)
            try:
                stamp = (path / "image.json").stat().st_mtime_ns
                kept = msgspec.json.decode((path / "image.json").read_bytes(), type=_Kept)
                whole = not entry.name.startswith("part-") and (path / "root").is_dir()
            except (OSError, msgspec.DecodeError):
                whole = False
            if whole:
                found.append((stamp, entry.name, kept))
            else:
                folders.remove(path)
        for _, key, kept in sorted(found, key=lambda one: one[0]):
            self._kept[key] = kept
            self._granted |= {(name, b""): key for name in kept.public}
