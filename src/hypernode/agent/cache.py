"""Inputs on the node's disk, by content: fetched once, resumed where a transfer broke, checked, kept while wanted."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from hypernode.agent.refusal import DISK_FULL, GiveBack
from hypernode.agent.remote import Remote
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits
from hypernode.kernel.errors import HashMismatch, RangeNotSatisfiable, Unavailable
from hypernode.protocol.messages import LeaseRef

FETCH_S: Final = limits.PREPARE_MS / 1000


class ArtifactCache:
    """A folder of files named by their SHA-256, at most `bound_bytes` together but for those in use.

    Files are mode 0444. What nobody uses is removed when room is needed, the least recently used first; a folder found
    at start is taken over as it is, because nothing gets its name before its hash was checked.
    """

    def __init__(self, folder: Path, bound_bytes: int, remote: Remote) -> None:
        self._folder = folder
        self._bound = bound_bytes
        self._remote = remote
        self._pins: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._sizes: dict[str, int] = {}  # in order of use, the least recent first
        self._open()

    @property
    def used_bytes(self) -> int:
        """Bytes of all complete files."""
        return sum(self._sizes.values())

    @asynccontextmanager
    async def hold(self, artifacts: list[ArtifactRef], lease: LeaseRef) -> AsyncIterator[dict[str, Path]]:
        """The files of these artifacts, by SHA-256, there for as long as the block runs.

        Raises HashMismatch, GiveBack (no room), Unavailable, or what the coordinator refused with.
        """
        wanted = {artifact.sha256: artifact for artifact in artifacts}
        for sha256 in wanted:
            self._pins[sha256] = self._pins.get(sha256, 0) + 1
        try:
            paths = {}
            for sha256, artifact in wanted.items():
                paths[sha256] = await self._get(artifact, lease)
            yield paths
        finally:
            for sha256 in wanted:
                self._pins[sha256] -= 1
                if not self._pins[sha256]:
                    del self._pins[sha256]

    async def _get(self, artifact: ArtifactRef, lease: LeaseRef) -> Path:
        path = self._folder / artifact.sha256
        lock = self._locks.setdefault(artifact.sha256, asyncio.Lock())
        try:
            # Whoever waits here finds the file complete, or goes on with its own token where the other one failed.
            async with lock:
                if artifact.sha256 not in self._sizes:
                    self._make_room(artifact.size_bytes)
                    await self._remote.repeat(lambda: self._fetch(artifact, lease), for_s=FETCH_S)
                self._sizes[artifact.sha256] = self._sizes.pop(artifact.sha256, artifact.size_bytes)
                os.utime(path)
        finally:
            if not lock.locked() and artifact.sha256 not in self._pins:
                self._locks.pop(artifact.sha256, None)
        return path

    async def _fetch(self, artifact: ArtifactRef, lease: LeaseRef) -> None:
        part = self._folder / f"{artifact.sha256}.part"
        have = part.stat().st_size if part.exists() else 0
        if have > artifact.size_bytes:
            part.unlink()
            have = 0
        if have < artifact.size_bytes:
            try:
                await self._transfer(artifact, lease, part, have)
            except RangeNotSatisfiable as error:
                part.unlink(missing_ok=True)
                raise HashMismatch(f"artifact {artifact.sha256} is not of {artifact.size_bytes} bytes") from error
        elif artifact.size_bytes == 0:
            part.touch()
        if await asyncio.to_thread(_sha256, part) != artifact.sha256:
            part.unlink()
            raise HashMismatch(f"the bytes received for artifact {artifact.sha256} are others")
        part.chmod(0o444)
        part.rename(self._folder / artifact.sha256)
        self._sizes[artifact.sha256] = artifact.size_bytes

    async def _transfer(self, artifact: ArtifactRef, lease: LeaseRef, part: Path, have: int) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        path = f"/api/v1/artifacts/{artifact.sha256}"
        async with self._remote.request(lease, "GET", path, headers=headers) as answer:
            if have and answer.status_code != 206:
                have = 0  # the server started over, so do we
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                async for piece in answer.aiter_raw(limits.CHUNK_BYTES):
                    have += len(piece)
                    if have > artifact.size_bytes:
                        raise HashMismatch(f"artifact {artifact.sha256} has more than {artifact.size_bytes} bytes")
                    await asyncio.to_thread(file.write, piece)
        if have < artifact.size_bytes:
            raise Unavailable(f"artifact {artifact.sha256} broke off after {have} of {artifact.size_bytes} bytes")

    def _make_room(self, size_bytes: int) -> None:
        """Remove the least recently used files that nobody holds until `size_bytes` more fit."""
        used = self.used_bytes
        for sha256 in list(self._sizes):
            if used + size_bytes <= self._bound:
                return
            if sha256 not in self._pins:
                used -= self._sizes.pop(sha256)
                (self._folder / sha256).unlink(missing_ok=True)
        if used + size_bytes > self._bound:
            raise GiveBack(DISK_FULL, f"{size_bytes} bytes of input do not fit; {used} of {self._bound} are in use")

    def _open(self) -> None:
        found = []
        for entry in os.scandir(self._folder):
            if entry.name.endswith(".part"):
                Path(entry.path).unlink()  # nobody is left who would go on with it
            else:
                status = entry.stat()
                found.append((status.st_mtime_ns, entry.name, status.st_size))
        self._sizes = {name: size for _, name, size in sorted(found)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
