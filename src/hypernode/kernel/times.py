"""Times as they are written to users."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-21T08:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(moment: datetime | None) -> str | None:
    """The same for a time that may not have come yet."""
    return None if moment is None else rfc3339(moment)


def moment(seconds: int) -> datetime:
    """A Unix second as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: int | None) -> datetime | None:
    """The same for a time that may not have come yet."""
    return None if seconds is None else moment(seconds)


def unix(time: datetime) -> int:
    """The Unix second of a time, floored."""
    return math.floor(time.timestamp())


def unix_or_none(time: datetime | None) -> int | None:
    """The same for a time that may not have come yet."""
    return None if time is None else unix(time)
