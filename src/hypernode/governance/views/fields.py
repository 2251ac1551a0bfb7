"""Fields that several structs of the interface have."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from hypernode.governance.proposals import TITLE_BYTES, check_title
from hypernode.kernel import limits
from hypernode.kernel.canonical import SHA256_PATTERN
from hypernode.kernel.times import moment_or_none, rfc3339_or_none

REFERENCE_BYTES: Final = 32


def check_reference(text: str) -> None:
    """Raise ValueError for a reference that a burn on a chain could not have."""
    if not text.isprintable() or len(text.encode(errors="replace")) > REFERENCE_BYTES:
        raise ValueError(f"a reference has at most {REFERENCE_BYTES} bytes, and no control characters")


Amount = Annotated[int, Meta(ge=1, le=limits.MICRO_HYPER, extra={"unit": "micro_hyper"})]
Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN, min_length=64, max_length=64)]
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_BYTES, extra={"check": check_title})]
Reference = Annotated[str, Meta(max_length=REFERENCE_BYTES, extra={"check": check_reference})]
NodeKey = Annotated[str, Meta(max_length=44, pattern=r"^[1-9A-HJ-NP-Za-km-z]+$(?!\n)")]


def time_of(seconds: int | None) -> str | None:
    """A Unix second as it is shown, if it has come."""
    return rfc3339_or_none(moment_or_none(seconds))
