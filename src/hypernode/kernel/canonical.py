"""Canonical JSON (RFC 8785) and content ids: the same thing always has the same bytes and so the same SHA-256."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, NewType

import msgspec
import msgspec.inspect
import rfc8785

from hypernode.kernel.errors import InvalidInput

ContentId = NewType("ContentId", str)
"""Lower-case hex SHA-256 of some bytes."""

SHA256_PATTERN = "^[0-9a-f]{64}$"
"""Use it with a length of 64: `$` alone would take a final newline."""


_LONG = re.compile(rb"[:,\[]-?[0-9]{16}")
"""Integers that RFC 8785 might forbid. Inside a text it may match as well; then the long way is taken for nothing."""
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SIXTEEN = b"0" * 16


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a struct or of plain JSON data.

    Raises InvalidInput for what RFC 8785 cannot express exactly (integers beyond ±(2^53 - 1), lone surrogates,
    NaN), because two parties might read such a value differently.
    """
    try:
        if isinstance(value, msgspec.Struct) and _is_plain(type(value)):
            # msgspec's sorted JSON is the canonical form, 20 times as fast, as long as there are only ASCII characters
            # (it sorts by code point, RFC 8785 by UTF-16) and small integers. A property test holds them together.
            quick = msgspec.json.encode(value, order="sorted")
            if quick.isascii() and not _has_long(quick):
                return quick
        return rfc8785.dumps(msgspec.to_builtins(value, str_keys=True))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InvalidInput(f"cannot be written as canonical JSON: {error}") from error


def _has_long(data: bytes) -> bool:
    # Nearly always there are no 16 digits in a row at all, which is seen ten times as fast as by the expression.
    return _SIXTEEN in data.translate(_AS_ZEROS) and _LONG.search(data) is not None


@functools.cache
def _is_plain(kind: type[msgspec.Struct]) -> bool:
    """Whether a struct holds nothing, at any depth, that msgspec writes in another way: floats, or anything at all."""
    return _plain(msgspec.inspect.type_info(kind), frozenset())


def _plain(info: msgspec.inspect.Type, above: frozenset[type]) -> bool:
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return cls in above or all(_plain(field.type, above | {cls}) for field in fields)
        case msgspec.inspect.UnionType(types=types):
            return all(_plain(one, above) for one in types)
        case msgspec.inspect.VarTupleType(item_type=item) | msgspec.inspect.ListType(item_type=item):
            return _plain(item, above)
        case msgspec.inspect.DictType(key_type=key, value_type=item):
            return _plain(key, above) and _plain(item, above)
        case msgspec.inspect.Metadata(type=inner):
            return _plain(inner, above)
    return isinstance(info, _SCALARS)


_SCALARS = (
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.BoolType,
    msgspec.inspect.NoneType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
)


def content_id(data: bytes) -> ContentId:
    """SHA-256 of bytes, as hex."""
    return ContentId(hashlib.sha256(data).hexdigest())
