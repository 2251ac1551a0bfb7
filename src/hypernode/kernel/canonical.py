"""Canonical JSON (RFC 8785) and content ids: the same thing always has the same bytes and so the same SHA-256."""

from __future__ import annotations

import hashlib
from typing import Any, NewType

import msgspec
import rfc8785

from hypernode.kernel.errors import InvalidInput

ContentId = NewType("ContentId", str)
"""Lower-case hex SHA-256 of some bytes."""

SHA256_PATTERN = "^[0-9a-f]{64}$"
"""Use it with a length of 64: `$` alone would take a final newline."""


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a struct or of plain JSON data.

    Raises InvalidInput for what RFC 8785 cannot express exactly (integers beyond ±(2^53 - 1), lone surrogates,
    NaN), because two parties might read such a value differently.
    """
    try:
        return rfc8785.dumps(msgspec.to_builtins(value, str_keys=True))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InvalidInput(f"cannot be written as canonical JSON: {error}") from error


def content_id(data: bytes) -> ContentId:
    """SHA-256 of bytes, as hex."""
    return ContentId(hashlib.sha256(data).hexdigest())
