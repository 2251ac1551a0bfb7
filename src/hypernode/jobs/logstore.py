"""The logs of attempts as files: `<data>/logs/<job uuid>/<task>.<epoch>.log`, appended by offset and followed live.

Logs come in many small pieces, so a piece costs one write into the page cache, with no thread and no sync; a process
that dies loses none of it. `finish` makes a log durable and says what its bytes hash to.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from hypernode.kernel import limits
from hypernode.kernel.canonical import ContentId, content_id
from hypernode.kernel.errors import InvalidInput, OffsetMismatch, TooLarge, Unavailable

OPEN_FILES: Final = 256
"""Files kept open for writing; the one that was not written for longest is closed first."""


class LogRef(msgspec.Struct, frozen=True):
    """Whose log it is: one attempt."""

    job_id: UUID
    task: int
    epoch: int


class LogDigest(msgspec.Struct, frozen=True):
    """What a finished log is: the SHA-256 of its bytes (the receipt's log root) and how many there are."""

    root: ContentId
    size_bytes: int


EMPTY_LOG: Final = LogDigest(content_id(b""), 0)


class _Follower:
    __slots__ = ("closed", "hint")

    def __init__(self) -> None:
        self.hint = asyncio.Event()
        self.closed = False


class LogStore:
    """The logs below one data folder. One process at a time writes a log; any number may read and follow it."""

    def __init__(self, data: Path, *, open_files: int = OPEN_FILES) -> None:
        self._folder: Final = data / "logs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root: Final = str(self._folder)
        self._open_files = open_files
        self._files: OrderedDict[LogRef, int] = OrderedDict()
        self._followers: dict[LogRef, set[_Follower]] = {}

    def end(self, ref: LogRef) -> int:
        """Bytes there are of a log; 0 before the first."""
        fd = self._files.get(ref)
        if fd is not None:
            return os.fstat(fd).st_size  # not remembered: a node may have been at another coordinator in between
        name = self._name(ref)
        # Asked of every attempt that ends, most of which wrote nothing: an exception would be dearer than the question.
        return os.stat(name).st_size if os.access(name, os.F_OK) else 0

    def append(self, ref: LogRef, offset: int, data: bytes) -> int:
        """Add bytes that stand at `offset` and return the log's new end.

        What lies before the end is there already and ignored, so sending again is harmless. Raises OffsetMismatch
        (`extra.offset` says where to go on) for bytes that would leave a gap, TooLarge beyond LOG_BYTES, Unavailable
        when the disk is full.
        """
        end = self.end(ref)
        if offset > end:
            raise OffsetMismatch(f"the log continues at {end}, not at {offset}", extra={"offset": end})
        if offset + len(data) > limits.LOG_BYTES:
            raise TooLarge(f"a log has at most {limits.LOG_BYTES} bytes")
        new = memoryview(data)[end - offset :]
        if not new:
            return end
        try:
            fd = self._open(ref)
            while new:
                count = os.pwrite(fd, new, end)
                end += count
                new = new[count:]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable("the coordinator has no disk space left for logs") from error
            raise
        self._wake(ref, closed=False)
        return end

    async def finish(self, ref: LogRef) -> LogDigest:
        """Make a log durable, in a thread, and say what it is. A job that wrote nothing has no file; may be repeated.

        Nothing here forbids to append afterwards: whether an attempt may still write is decided by its lease.
        """
        if self.end(ref) == 0:
            return EMPTY_LOG
        fd = self._files.pop(ref, None)
        if fd is not None:
            os.close(fd)
        return await asyncio.to_thread(self._finish, self._path(ref))

    async def read(self, ref: LogRef, offset: int, limit: int = limits.LOG_CHUNK_BYTES) -> bytes:
        """At most `limit` bytes from `offset` on; none at the end or when there is no such log."""
        if offset < 0 or limit < 0:
            raise InvalidInput("offset and limit cannot be negative")
        return await asyncio.to_thread(_read, self._path(ref), offset, min(limit, limits.LOG_BYTES))

    async def follow(
        self, ref: LogRef, offset: int = 0, *, ended: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The log's bytes from `offset` on, as they come, until `close` is called and all has been given.

        Each follower reads the file at its own pace and holds nothing between pieces of at most LOG_CHUNK_BYTES, so
        a slow one costs the writer and others nothing. Appends wake it; besides it looks every POLL_S itself, and
        asks `ended` whether the attempt is over, for a `close` that was before it came or in another process.
        """
        follower = _Follower()
        self._followers.setdefault(ref, set()).add(follower)
        try:
            over = False
            while True:
                # Asked before reading: what was written up to the end is then read for certain.
                over = over or follower.closed or (ended is not None and await ended())
                follower.hint.clear()
                while piece := await self.read(ref, offset):
                    offset += len(piece)
                    yield piece
                if over:
                    return
                if follower.closed:
                    continue
                try:
                    async with asyncio.timeout(limits.POLL_S):
                        await follower.hint.wait()
                except TimeoutError:
                    continue
        finally:
            followers = self._followers[ref]
            followers.discard(follower)
            if not followers:
                del self._followers[ref]

    def close(self, ref: LogRef) -> None:
        """The attempt has ended: its followers get what is left and end; its file is closed."""
        fd = self._files.pop(ref, None)
        if fd is not None:
            os.close(fd)
        self._wake(ref, closed=True)

    def close_all(self) -> None:
        """The process ends: as `close` for every log."""
        for ref in {*self._files, *self._followers}:
            self.close(ref)

    def _wake(self, ref: LogRef, *, closed: bool) -> None:
        for follower in self._followers.get(ref, ()):
            follower.closed = follower.closed or closed
            follower.hint.set()

    def _name(self, ref: LogRef) -> str:
        # Formatted as what they must be, so that nothing else can become part of a path.
        return f"{self._root}/{UUID.__str__(ref.job_id)}/{ref.task:d}.{ref.epoch:d}.log"

    def _path(self, ref: LogRef) -> Path:
        return Path(self._name(ref))

    def _open(self, ref: LogRef) -> int:
        fd = self._files.get(ref)
        if fd is None:
            path = self._path(ref)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = self._files[ref] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if len(self._files) > self._open_files:
                _, oldest = self._files.popitem(last=False)
                os.close(oldest)
        self._files.move_to_end(ref)
        return fd

    def _finish(self, path: Path) -> LogDigest:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256")
            size_bytes = file.tell()
        for folder in (path.parent, self._folder):  # the names as well as the bytes
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        return LogDigest(ContentId(digest.hexdigest()), size_bytes)


def _read(path: Path, offset: int, limit: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, limit, offset)
    finally:
        os.close(fd)
