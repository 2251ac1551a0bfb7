"""Where artifacts and uploads lie, and how files get there so that a crash leaves all of one or nothing.

Every path is made of a UUID object or a checked hash, never of text from outside. Everything here blocks and runs in
threads.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from hypernode.kernel import limits
from hypernode.kernel.canonical import SHA256_PATTERN
from hypernode.kernel.errors import Conflict, HashMismatch, InvalidInput, InvariantViolated, Unavailable

_SHA256: Final = re.compile(SHA256_PATTERN)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_full_is_unavailable() -> Iterator[None]:
    """Turns "no space left" into Unavailable; every other OSError is a fault of the machine and stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable("the coordinator has no disk space left; what was stored before is kept") from error
        raise


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Folders:
    """The two folders below a data folder: `artifacts/ab/cdef…` and `uploads/<uuid>`."""

    def __init__(self, data: Path) -> None:
        self._artifacts: Final = data / "artifacts"
        self._uploads: Final = data / "uploads"
        for folder in (self._artifacts, self._uploads):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def artifact(self, sha256: str) -> Path:
        """Where an artifact lies. Raises InvalidInput for what is no hash."""
        if not _SHA256.fullmatch(sha256):
            raise InvalidInput("not a SHA-256 in lower-case hex")
        return self._artifacts / sha256[:2] / sha256[2:]

    def upload(self, upload_id: UUID) -> Path:
        """Where the bytes of an upload gather."""
        return self._uploads / str(UUID(int=upload_id.int))

    def upload_size(self, upload_id: UUID) -> int:
        """Bytes there are of an upload; 0 before the first."""
        try:
            return self.upload(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def upload_ids(self) -> list[UUID]:
        """Uploads that have a file."""
        found = []
        for path in self._uploads.iterdir():
            with suppress(ValueError):  # a name that is no UUID is not ours to judge
                found.append(UUID(path.name))
        return found

    def artifact_hashes(self, older_than_s: float, now_s: float) -> Iterator[str]:
        """Artifacts whose file came to its place longer ago than that, by the folder's clock."""
        for folder in self._artifacts.iterdir():
            for path in folder.iterdir():
                if _SHA256.fullmatch(folder.name + path.name) and now_s - path.stat().st_ctime >= older_than_s:
                    yield folder.name + path.name

    def store(self, upload_id: UUID, sha256: str, size_bytes: int, hasher: hashlib._Hash, hashed: int) -> None:
        """Make a complete upload an artifact: check it, make it durable, and move it to its place in one step.

        `hasher` holds the first `hashed` bytes. Raises HashMismatch, after which the upload's file is gone.
        """
        source, target = self.upload(upload_id), self.artifact(sha256)
        with disk_full_is_unavailable():
            fd = _open_alone(source, 0)
            try:
                while piece := os.pread(fd, limits.CHUNK_BYTES, hashed):
                    hasher.update(piece)
                    hashed += len(piece)
                if hashed != size_bytes:
                    raise InvariantViolated(f"a complete upload has {hashed} bytes instead of {size_bytes}")
                if hasher.hexdigest() != sha256:
                    source.unlink()
                    raise HashMismatch(
                        f"the bytes have SHA-256 {hasher.hexdigest()} where {sha256} was announced; they were dropped"
                    )
                os.fsync(fd)
            finally:
                os.close(fd)
            if not target.parent.exists():
                target.parent.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self._artifacts)
            # An artifact that is there already is replaced by the same bytes: whoever reads it keeps the old file.
            source.replace(target)
            sync_folder(target.parent)


def _open_alone(path: Path, flags: int) -> int:
    """Open for writing, locked against every other process. Raises Conflict if one writes it now."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict("another process is writing this upload") from None
    return fd


class Writer:
    """Appends to one upload's file."""

    def __init__(self, path: Path) -> None:
        with disk_full_is_unavailable():
            self._fd = _open_alone(path, os.O_CREAT)
        self.end = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append all of `data`, or nothing: raises Unavailable when the disk is full."""
        view, position = memoryview(data), self.end
        try:
            with disk_full_is_unavailable():
                while view:
                    count = os.pwrite(self._fd, view, position)
                    view, position = view[count:], position + count
        except BaseException:
            os.ftruncate(self._fd, self.end)
            raise
        self.end = position

    def close(self, *, sync: bool) -> None:
        """Make durable what was written, if `sync`, and close."""
        try:
            if sync:
                with disk_full_is_unavailable():  # some file systems find out only here
                    os.fsync(self._fd)
        finally:
            os.close(self._fd)
