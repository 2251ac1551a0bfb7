"""When a request is repeated, and after how long: pure decisions, with chance passed in."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

TRANSIENT: Final = frozenset({429, 502, 503, 504})
"""Statuses that say "not now" rather than "no"."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a client is. `attempts` counts the first one; waits are full jitter: anything between nothing and
    `base_s` doubled each time, up to `max_s`. A longer Retry-After than `patience_s` is not waited for."""

    attempts: int = 6
    base_s: float = 0.25
    max_s: float = 8.0
    patience_s: float = 60.0
    stream_attempts: int = 12
    """Reconnects without a single byte of news before a stream is given up."""


NEVER: Final = Retry(attempts=1, stream_attempts=1)


def backoff_s(retry: Retry, failures: int, chance: float) -> float:
    """The wait after the `failures`-th failure in a row; `chance` is from [0, 1)."""
    return min(retry.max_s, retry.base_s * 2.0 ** min(failures - 1, 30)) * chance


def after_answer(
    retry: Retry, failures: int, *, repeatable: bool, status: int, retry_after_s: float | None, chance: float
) -> float | None:
    """How long to wait before repeating a request that got this status, or None to give up."""
    if status not in TRANSIENT or not repeatable or failures >= retry.attempts:
        return None
    wait = backoff_s(retry, failures, chance)
    if retry_after_s is None:
        return wait
    # A little jitter on top, so that all who were told the same second do not come back in it together.
    return retry_after_s + wait / 4 if retry_after_s <= retry.patience_s else None


def after_interruption(retry: Retry, failures: int, *, repeatable: bool, sent: bool, chance: float) -> float | None:
    """How long to wait before repeating a request whose connection broke, or None to give up. What the server cannot
    have seen may always be repeated."""
    if failures >= retry.attempts or (sent and not repeatable):
        return None
    return backoff_s(retry, failures, chance)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The Retry-After header in seconds; it may be a number or a date. None where it is absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())
