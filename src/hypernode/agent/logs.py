"""A job's log on the node: written as frames, bounded with its headers, and sent within a window."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from hypernode.jobs.logs import HEADER_BYTES, STDERR, STDOUT, LogFrame, encode_frame
from hypernode.kernel import limits
from hypernode.kernel.errors import InvariantViolated
from hypernode.protocol.messages import LeaseRef, Log

HEADERS_BYTES: Final = limits.LOG_BYTES // 4
"""What frame headers may take of LOG_BYTES."""
NOTES_BYTES: Final = 32 * limits.KIB
"""What the agent itself may add, such as why an output was not collected."""
PAYLOAD_BYTES: Final = limits.LOG_BYTES - HEADERS_BYTES - NOTES_BYTES
"""What a job may write: the sandbox's `log_bytes`. With any pattern of writes the file stays below LOG_BYTES."""
FRAME_BYTES: Final = limits.LOG_CHUNK_BYTES - HEADER_BYTES
"""Bytes that are written out at once, however little time has passed."""
PIECES: Final = 64
"""Changes between stdout and stderr within one delay that keep their order."""
_RESERVED: Final = (2 * (PAYLOAD_BYTES // FRAME_BYTES) + 2 * PIECES) * HEADER_BYTES
"""Headers of frames that must be written because they are full or the job has ended."""

_DELAYS: Final = ((0.5, 0.005), (0.75, 0.1), (0.9, 1.0), (1.0, 30.0))
"""How long small writes wait for company (seconds), by the share of the header budget that has been used up."""


def delay_s(headers_bytes: int) -> float | None:
    """How long a write may wait for more when headers already take this much; None: until a frame is full."""
    used = headers_bytes / (HEADERS_BYTES - _RESERVED)
    return next((delay for share, delay in _DELAYS if used < share), None)


class LogFile:
    """One attempt's log file. Small writes are put together so that headers cannot outgrow the text.

    Bytes of one stream keep their order; the two streams keep theirs between them, except that more than PIECES
    changes within one delay are put together, stdout first. The file is made with the first byte.
    """

    def __init__(
        self,
        path: Path,
        on_written: Callable[[int], None],
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`on_written` is called whenever the file has grown, with its bytes."""
        self._path = path
        self._on_written = on_written
        self._clock_ms = clock_ms
        self._pending: list[tuple[int, bytearray]] = []
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._payload = 0
        self._headers = 0
        self._error: OSError | None = None
        self.size_bytes = 0

    @property
    def root(self) -> str:
        """SHA-256 of the file."""
        return self._hash.hexdigest()

    def write(self, stream: int, data: bytes) -> None:
        """Take what the job wrote to stdout (1) or stderr (2), at most PAYLOAD_BYTES in all. Raises OSError."""
        self._raise()
        if self._payload + len(data) > PAYLOAD_BYTES:
            raise InvariantViolated("the sandbox delivered more log than its limit")
        self._payload += len(data)
        self._add(stream, data)

    def note(self, text: str) -> None:
        """Add a line of the agent's own to stderr; quietly cut where notes have used up their share."""
        data = f"hypernode: {text}\n".encode(errors="replace")
        room = PAYLOAD_BYTES + NOTES_BYTES - self._payload
        self._payload += len(data[:room])
        self._add(STDERR, data[:room])

    async def close(self) -> None:
        """Write what waits and bring it to disk. `root` and `size_bytes` are final afterwards. Raises OSError."""
        self._flush()
        self._raise()
        file, self._file = self._file, None
        if file is not None:
            await asyncio.to_thread(_close, file)

    def discard(self) -> None:
        """Close without caring for what waits. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending, self._waiting = [], 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, stream: int, data: bytes) -> None:
        if not data:
            return
        if self._pending and self._pending[-1][0] == stream:
            self._pending[-1][1].extend(data)
        else:
            self._pending.append((stream, bytearray(data)))
        self._waiting += len(data)
        if len(self._pending) > PIECES:
            self._pending = _by_stream(self._pending)
        if self._waiting >= FRAME_BYTES:
            self._flush()
        elif self._timer is None:
            delay = delay_s(self._headers)
            if delay is not None:
                self._timer = asyncio.get_running_loop().call_later(delay, self._flush_late)
            else:
                self._pending = _by_stream(self._pending)  # from here on only full frames are written

    def _flush_late(self) -> None:
        try:
            self._flush()
        except OSError as error:  # nobody waits for a timer: the next write or close raises it
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        if delay_s(self._headers) is None:
            self._pending = _by_stream(self._pending)
        now_ms = self._clock_ms()
        out = bytearray()
        for stream, data in self._pending:
            for start in range(0, len(data), FRAME_BYTES):
                out += encode_frame(LogFrame(stream, now_ms, bytes(data[start : start + FRAME_BYTES])))
                self._headers += HEADER_BYTES
        self._pending, self._waiting = [], 0
        if self.size_bytes + len(out) > limits.LOG_BYTES:
            raise InvariantViolated(f"the log {self._path.name} outgrew {limits.LOG_BYTES} bytes")
        if self._file is None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._file.write(out)
        self._hash.update(out)
        self.size_bytes += len(out)
        self._on_written(self.size_bytes)


class LogSender:
    """Which bytes of a log file to send next: those beyond what was sent, within the window of what is acknowledged."""

    def __init__(self, lease: LeaseRef, path: Path, size_bytes: int = 0) -> None:
        self._lease = lease
        self._path = path
        self._sent = 0
        self.size_bytes = size_bytes
        """How much of the file there is to send, as of now."""
        self.acknowledged = 0
        self.complete = asyncio.Event()
        """Set while everything there is has been acknowledged."""
        self._check()

    def grown(self, size_bytes: int) -> None:
        """The file now has this many bytes."""
        self.size_bytes = size_bytes
        self._check()

    def reconnected(self) -> None:
        """Nobody knows what of the unacknowledged bytes arrived: send them again.

        The last acknowledged byte goes again, too. Whoever answers now may be another coordinator, or one whose disk
        lost the end of the file; its answer says where it wants to go on.
        """
        self.acknowledged = max(0, self.acknowledged - 1)
        self._sent = self.acknowledged
        self._check()

    def acknowledge(self, offset: int) -> None:
        """The coordinator has the bytes below `offset`. Fewer than before means that it wants the rest again."""
        if offset > self.size_bytes:
            return  # of bytes that were never written; nothing to do about it
        if offset < self.acknowledged:
            self._sent = offset
        self.acknowledged = offset
        self._sent = max(self._sent, offset)
        self._check()

    def next_messages(self) -> list[Log]:
        """What may be sent now. Raises OSError if the file cannot be read."""
        end = min(self.size_bytes, self.acknowledged + limits.LOG_WINDOW_BYTES)
        if self._sent >= end:
            return []
        messages = []
        with self._path.open("rb") as file:
            file.seek(self._sent)
            while self._sent < end:
                data = file.read(min(limits.LOG_CHUNK_BYTES, end - self._sent))
                if not data:
                    raise OSError(f"the log {self._path.name} is shorter than the {self.size_bytes} bytes written")
                messages.append(Log(self._lease, self._sent, data))
                self._sent += len(data)
        return messages

    def _check(self) -> None:
        if self.acknowledged >= self.size_bytes:
            self.complete.set()
        else:
            self.complete.clear()


def _by_stream(pieces: list[tuple[int, bytearray]]) -> list[tuple[int, bytearray]]:
    merged = [(stream, bytearray().join(d for s, d in pieces if s == stream)) for stream in (STDOUT, STDERR)]
    return [piece for piece in merged if piece[1]]


def _close(file: BinaryIO) -> None:
    os.fsync(file.fileno())
    file.close()
