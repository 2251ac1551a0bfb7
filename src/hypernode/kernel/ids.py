"""Ids: UUIDs of version 7 (RFC 9562), whose order is that of their making, as distinct types."""

from __future__ import annotations

import secrets
import time
from typing import NewType
from uuid import UUID

ProjectId = NewType("ProjectId", UUID)
JobId = NewType("JobId", UUID)
UploadId = NewType("UploadId", UUID)


def uuid7() -> UUID:
    """A new UUID of version 7: 48 bits of Unix milliseconds, then randomness."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF000 << 64) | 0x7000 << 64  # version
    value = value & ~(0xC000 << 48) | 0x8000 << 48  # variant
    return UUID(int=value)
