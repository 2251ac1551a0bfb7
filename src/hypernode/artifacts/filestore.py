"""Content-addressed files: bytes come in as uploads, in resumable pieces, and become artifacts if their hash is right.

Files are read and written in threads; the event loop never waits for a disk. A process keeps a little state per
upload (a lock and a running hash); whatever is lost of it is read from the file again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from hypernode.artifacts.folders import Folders, Writer
from hypernode.artifacts.ranges import ByteRange
from hypernode.artifacts.threads import in_thread
from hypernode.kernel import limits
from hypernode.kernel.errors import Conflict, InvariantViolated, OffsetMismatch, TooLarge

SILENCE_S: Final = 30.0
"""A body that sends nothing for this long counts as ended: what arrived of it is kept."""
_REMEMBERED: Final = 4096


class _Receiving:
    """What this process knows of one upload. `hasher` holds the first `hashed` bytes of the file.

    As long as one request uses it (`users`), every other one gets this very object: two writers of one file could
    store bytes other than those that were hashed.
    """

    __slots__ = ("hashed", "hasher", "lock", "silence", "turn", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.turn = 0
        self.silence: asyncio.Timeout | None = None
        self.forget()

    def forget(self) -> None:
        """Begin the hash anew."""
        self.hasher = hashlib.sha256()
        self.hashed = 0

    def take_over(self) -> int:
        """Ends the request that is receiving now, if there is one, and returns the number of the new one's turn."""
        self.turn += 1
        if self.silence is not None and not self.silence.expired():
            self.silence.reschedule(asyncio.get_running_loop().time())
        return self.turn


class FileStore:
    """The files of one data folder. One process at a time may write an upload; any number may read artifacts."""

    def __init__(self, data: Path, *, silence_s: float = SILENCE_S) -> None:
        self.folders: Final = Folders(data)
        self._silence_s = silence_s
        self._states: OrderedDict[UUID, _Receiving] = OrderedDict()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def offset(self, upload_id: UUID) -> int:
        """Bytes there are of an upload: where the next piece begins."""
        return self.folders.upload_size(upload_id)

    def is_receiving(self, upload_id: UUID) -> bool:
        """Whether a request is sending bytes of this upload to this process right now."""
        state = self._states.get(upload_id)
        return state is not None and state.users > 0

    async def append(
        self, upload_id: UUID, offset: int, chunks: AsyncIterator[bytes], *, sha256: str, size_bytes: int
    ) -> int:
        """Continue an upload at `offset` and return where it ends now; at `size_bytes` the artifact is stored.

        What is returned is on the disk. When the body ends early, falls silent or the caller is cancelled, what
        arrived is kept. A request that begins where the file ends takes over from one that is still receiving (its
        connection may be dead without anybody knowing), which then fails with Conflict.

        Raises OffsetMismatch (`extra.offset` says where to go on), TooLarge for bytes beyond `size_bytes`,
        HashMismatch after which the upload is gone, and Unavailable when the disk is full.
        """
        self._check_offset(upload_id, offset)
        async with self._taken_over(upload_id) as (state, turn):
            if state.turn != turn:
                raise Conflict("another request continues this upload")
            self._check_offset(upload_id, offset)
            end = await self._receive(upload_id, state, turn, chunks, size_bytes)
            if end < size_bytes:
                return end
            try:
                await in_thread(self.folders.store, upload_id, sha256, size_bytes, state.hasher, state.hashed)
            finally:
                state.forget()  # stored, dropped, or in doubt: not to be continued
            return end

    async def discard(self, upload_id: UUID) -> None:
        """Delete what there is of an upload. A request that is receiving it fails with Conflict."""
        async with self._taken_over(upload_id) as (state, _):
            self.folders.upload(upload_id).unlink(missing_ok=True)
            state.forget()

    @asynccontextmanager
    async def _taken_over(self, upload_id: UUID) -> AsyncIterator[tuple[_Receiving, int]]:
        """Alone with an upload, and the number of this turn at it."""
        state = self._states.setdefault(upload_id, _Receiving())
        self._states.move_to_end(upload_id)
        state.users += 1
        try:
            turn = state.take_over()
            async with state.lock:
                yield state, turn
        finally:
            state.users -= 1
            if not state.users and not state.hashed:
                del self._states[upload_id]
            for idle in list(self._states)[: max(0, len(self._states) - _REMEMBERED)]:
                if not self._states[idle].users:
                    del self._states[idle]

    async def _receive(
        self, upload_id: UUID, state: _Receiving, turn: int, chunks: AsyncIterator[bytes], size_bytes: int
    ) -> int:
        writer = Writer(self.folders.upload(upload_id))  # opening is no work for a disk
        pending = bytearray()
        ours = True

        def write() -> None:
            data = bytes(pending)
            pending.clear()  # whatever comes of it, it is not written twice
            follows = state.hashed == writer.end
            writer.write(data)
            if follows:
                state.hasher.update(data)
                state.hashed = writer.end

        def finish() -> None:
            try:
                if ours and pending:
                    write()
            finally:
                writer.close(sync=ours)  # who took over makes all of it durable

        try:
            while True:
                try:
                    async with asyncio.timeout(self._silence_s) as state.silence:
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    chunk = None
                finally:
                    state.silence = None
                if state.turn != turn:
                    # The other one began where the file ends: what is pending here would shift it.
                    ours = False
                    raise Conflict("another request took this upload over")
                if chunk is None:
                    break
                if writer.end + len(pending) + len(chunk) > size_bytes:
                    raise TooLarge(f"more bytes than the {size_bytes} announced")
                pending += chunk
                if len(pending) >= limits.CHUNK_BYTES:
                    await in_thread(write)
        finally:
            await in_thread(finish)
        return writer.end

    def _check_offset(self, upload_id: UUID, offset: int) -> None:
        have = self.offset(upload_id)
        if offset != have:
            raise OffsetMismatch(f"the upload continues at {have}, not at {offset}", extra={"offset": have})

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def size(self, sha256: str) -> int | None:
        """Size of a stored artifact; None if there is none."""
        try:
            return self.folders.artifact(sha256).stat().st_size
        except FileNotFoundError:
            return None

    async def read(self, sha256: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """The bytes of a range, in chunks of at most CHUNK_BYTES. Raises InvariantViolated if the file is shorter."""
        fd = os.open(self.folders.artifact(sha256), os.O_RDONLY | os.O_CLOEXEC)
        try:
            position = part.start
            while position < part.end:
                chunk = await in_thread(os.pread, fd, min(limits.CHUNK_BYTES, part.end - position), position)
                if not chunk:
                    raise InvariantViolated(f"the file of artifact {sha256} ends at {position}")
                position += len(chunk)
                yield chunk
        finally:
            os.close(fd)

    # ── housekeeping ────────────────────────────────────────────────────────────────────────────────────────────────

    def idle_s(self, upload_id: UUID) -> float:
        """Seconds since the last byte of an upload was written; infinite if none ever was."""
        try:
            return time.time() - self.folders.upload(upload_id).stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    async def upload_ids(self) -> list[UUID]:
        """Uploads that have a file."""
        return await in_thread(self.folders.upload_ids)

    async def artifact_hashes(self, *, older_than_s: float) -> list[str]:
        """Artifacts whose file is at its place for at least that long."""
        return await in_thread(lambda: list(self.folders.artifact_hashes(older_than_s, time.time())))

    async def delete_artifact(self, sha256: str) -> None:
        """Delete a stored file. Only for files that no row names."""
        await in_thread(self.folders.artifact(sha256).unlink, missing_ok=True)
