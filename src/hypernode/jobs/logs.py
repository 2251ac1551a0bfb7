"""The format of an attempt's log: frames of stdout and stderr bytes in the order they were read.

One frame is a header `!BQI` (stream 1 or 2, Unix milliseconds, length) and as many bytes. The node writes the file
and sends its bytes; the coordinator keeps the same bytes; a client gets the same bytes and can check them against the
log root (their SHA-256) in the receipt.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

_HEADER: Final = struct.Struct("!BQI")
HEADER_BYTES: Final = _HEADER.size
STDOUT: Final = 1
STDERR: Final = 2


class LogFrame(msgspec.Struct, frozen=True):
    """Some bytes a job wrote. `at_ms` is the node's clock, advisory."""

    stream: int
    at_ms: int
    data: bytes


def encode_frame(frame: LogFrame) -> bytes:
    """The frame's bytes in the file."""
    return _HEADER.pack(frame.stream, frame.at_ms, len(frame.data)) + frame.data


class FrameReader:
    """Takes the bytes of a log file in pieces of any size and gives the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.offset = 0
        """Offset in the file just after the last frame given."""

    def feed(self, data: bytes) -> Iterator[LogFrame]:
        """Frames completed by `data`. Raises ValueError when the bytes are not a log."""
        self._buffer += data
        while len(self._buffer) >= HEADER_BYTES:
            stream, at_ms, size = _HEADER.unpack_from(self._buffer)
            if stream not in (STDOUT, STDERR):
                raise ValueError(f"not a log: stream {stream} at offset {self.offset}")
            if len(self._buffer) < HEADER_BYTES + size:
                return
            data = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + size])
            del self._buffer[: HEADER_BYTES + size]
            self.offset += HEADER_BYTES + size
            yield LogFrame(stream, at_ms, data)
