"""HTTP byte ranges (RFC 9110, section 14): which bytes of an artifact a request asks for."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hypernode.kernel.errors import RangeNotSatisfiable

_SINGLE: Final = re.compile(r"^bytes=(\d{0,19})-(\d{0,19})$", re.ASCII)


class ByteRange(msgspec.Struct, frozen=True):
    """Bytes from `start` up to and without `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.end - self.start

    def content_range(self, size_bytes: int) -> str:
        """The value of the header Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The range a `Range` header asks for; None where the whole is to be sent.

    As the RFC allows, units other than bytes, several ranges and what cannot be read are ignored: the answer is then
    the whole. Raises RangeNotSatisfiable for a range that holds no byte of the artifact.
    """
    match = _SINGLE.match((header or "").strip().replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last N bytes
        start, end = max(0, size_bytes - int(match[2])), size_bytes
    else:
        start = int(match[1])
        end = min(size_bytes, int(match[2]) + 1) if match[2] else size_bytes
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"the artifact has {size_bytes} bytes", extra={"size_bytes": size_bytes})
    return ByteRange(start, end)
