"""Borsh (https://borsh.io) for the types of an IDL.

Values are plain: integers, `bytes` for `bytes` and arrays of `u8`, lists, dicts for structs with named fields, tuples
for unnamed ones, the variant's name for an enum without fields and `{name: fields}` with, base58 texts for public keys.
Reading never trusts a length: what is announced must be there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from solders.pubkey import Pubkey

from hypernode.chain.solana.errors import ValueUnfit

ARRAY_ITEMS: Final = 1_000_000


class Codec(Protocol):
    """One type."""

    def write(self, value: Any, out: bytearray) -> None:
        """Append the value. Raises ValueUnfit."""

    def read(self, data: Reader) -> Any:
        """Take the value from the front. Raises ValueUnfit."""

    def least(self) -> int:
        """The fewest bytes a value has."""


class Reader:
    """Bytes, and how far they have been read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes. Raises ValueUnfit if there are fewer."""
        if count > self.left:
            raise ValueUnfit(f"the data end after {len(self._data)} bytes, {count - self.left} too early")
        self._at += count
        return self._data[self._at - count : self._at]

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at


class Integer:
    """u8 to i256, little-endian."""

    def __init__(self, bits: int, signed: bool) -> None:
        self._bytes, self._signed = bits // 8, signed
        self.is_byte = bits == 8 and not signed

    def write(self, value: Any, out: bytearray) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueUnfit(f"{value!r} is not an integer")
        try:
            out += value.to_bytes(self._bytes, "little", signed=self._signed)
        except OverflowError as error:
            raise ValueUnfit(f"{value} does not fit in {'iu'[not self._signed]}{8 * self._bytes}") from error

    def read(self, data: Reader) -> int:
        return int.from_bytes(data.take(self._bytes), "little", signed=self._signed)

    def least(self) -> int:
        return self._bytes


class Float:
    """f32 and f64; a NaN has no place in Borsh."""

    def __init__(self, form: str) -> None:
        self._form = struct.Struct(form)

    def write(self, value: Any, out: bytearray) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ValueUnfit(f"{value!r} is not a number")
        try:
            out += self._form.pack(value)
        except OverflowError as error:
            raise ValueUnfit(f"{value!r} does not fit in {8 * self._form.size} bits") from error

    def read(self, data: Reader) -> float:
        (value,) = self._form.unpack(data.take(self._form.size))
        if math.isnan(value):
            raise ValueUnfit("a NaN is not allowed")
        return float(value)

    def least(self) -> int:
        return self._form.size


class Bool:
    """One byte, 0 or 1."""

    def write(self, value: Any, out: bytearray) -> None:
        if not isinstance(value, bool):
            raise ValueUnfit(f"{value!r} is not a bool")
        out.append(value)

    def read(self, data: Reader) -> bool:
        (byte,) = data.take(1)
        if byte > 1:
            raise ValueUnfit(f"a bool is 0 or 1, not {byte}")
        return bool(byte)

    def least(self) -> int:
        return 1


class Key:
    """A public key, in base58."""

    def write(self, value: Any, out: bytearray) -> None:
        try:
            out += bytes(value if isinstance(value, Pubkey) else Pubkey.from_string(value))
        except (ValueError, TypeError) as error:
            raise ValueUnfit(f"{value!r} is not a public key in base58") from error

    def read(self, data: Reader) -> str:
        return str(Pubkey.from_bytes(data.take(32)))

    def least(self) -> int:
        return 32


class Bytes:
    """Bytes behind their length; `text` for strings, in UTF-8."""

    def __init__(self, text: bool) -> None:
        self._text = text

    def write(self, value: Any, out: bytearray) -> None:
        if not isinstance(value, str if self._text else bytes | bytearray):
            raise ValueUnfit(f"{value!r} is not {'a text' if self._text else 'bytes'}")
        raw = value.encode() if isinstance(value, str) else bytes(value)
        _SIZE.write(len(raw), out)
        out += raw

    def read(self, data: Reader) -> Any:
        raw = data.take(_SIZE.read(data))
        if not self._text:
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ValueUnfit("a string is not UTF-8") from error

    def least(self) -> int:
        return 4


class Option:
    """A value or None, behind a flag of one byte, or of four (`coption`)."""

    def __init__(self, inner: Codec, flag: Integer) -> None:
        self._inner, self._flag = inner, flag

    def write(self, value: Any, out: bytearray) -> None:
        self._flag.write(int(value is not None), out)
        if value is not None:
            self._inner.write(value, out)

    def read(self, data: Reader) -> Any:
        flag = self._flag.read(data)
        if flag > 1:
            raise ValueUnfit(f"an option's flag is 0 or 1, not {flag}")
        return self._inner.read(data) if flag else None

    def least(self) -> int:
        return self._flag.least()


class Array:
    """Values of one type: `count` of them, or as many as the length before them says."""

    def __init__(self, inner: Codec, count: int | None) -> None:
        self._inner, self._count = inner, count
        self._bytes = isinstance(inner, Integer) and inner.is_byte

    def write(self, value: Any, out: bytearray) -> None:
        if not isinstance(value, Sequence | bytearray) or isinstance(value, str):
            raise ValueUnfit(f"{value!r} is not a list")
        if self._count is None:
            _SIZE.write(len(value), out)
        elif len(value) != self._count:
            raise ValueUnfit(f"{len(value)} values where {self._count} are wanted")
        for item in value:
            self._inner.write(item, out)

    def read(self, data: Reader) -> Any:
        count = _SIZE.read(data) if self._count is None else self._count
        # Announced by whoever wrote the data: it must be there, also where a value takes no bytes at all.
        if count * self._inner.least() > data.left or count > ARRAY_ITEMS:
            raise ValueUnfit(f"{count} values are announced where {data.left} bytes are left")
        return data.take(count) if self._bytes else [self._inner.read(data) for _ in range(count)]

    def least(self) -> int:
        return 4 if self._count is None else self._count * self._inner.least()


class Struct:
    """Fields in order: a dict if they are named, a tuple if not."""

    def __init__(self, fields: Sequence[tuple[str | None, Codec]]) -> None:
        self._fields = fields
        self._names = [name for name, _ in fields if name is not None]

    def write(self, value: Any, out: bytearray) -> None:
        for (name, codec), part in zip(self._fields, self._parts(value), strict=True):
            try:
                codec.write(part, out)
            except ValueUnfit as error:
                raise ValueUnfit(f"{name}: {error.detail}" if name else error.detail) from error

    def read(self, data: Reader) -> Any:
        parts = [codec.read(data) for _, codec in self._fields]
        return dict(zip(self._names, parts, strict=True)) if self._names else tuple(parts)

    def least(self) -> int:
        return sum(codec.least() for _, codec in self._fields)

    def field(self, name: str) -> Codec:
        """The codec of a named field."""
        return next(codec for known, codec in self._fields if known == name)

    def _parts(self, value: Any) -> Sequence[Any]:
        if not self._names:
            if not isinstance(value, tuple | list) or len(value) != len(self._fields):
                raise ValueUnfit(f"{value!r} is not {len(self._fields)} values")
            return value
        if not isinstance(value, Mapping) or set(value) != set(self._names):
            raise ValueUnfit(f"a value for each of {', '.join(self._names)} is wanted, and for nothing else")
        return [value[name] for name in self._names]


class Enum:
    """One of several variants, by its number in one byte."""

    def __init__(self, variants: Sequence[tuple[str, Struct | None]]) -> None:
        self._variants = variants
        self._numbers = {name: number for number, (name, _) in enumerate(variants)}

    def write(self, value: Any, out: bytearray) -> None:
        name, fields = next(iter(value.items())) if isinstance(value, Mapping) and len(value) == 1 else (value, None)
        number = self._numbers.get(name) if isinstance(name, str) else None
        if number is None:
            raise ValueUnfit(f"{value!r} is none of {', '.join(self._numbers)}")
        codec = self._variants[number][1]
        if (codec is None) != (fields is None):
            raise ValueUnfit(f"{name} has {'no' if codec is None else 'its'} fields")
        out.append(number)
        if codec is not None:
            codec.write(fields, out)

    def read(self, data: Reader) -> Any:
        (number,) = data.take(1)
        if number >= len(self._variants):
            raise ValueUnfit(f"there is no variant {number}")
        name, codec = self._variants[number]
        return name if codec is None else {name: codec.read(data)}

    def least(self) -> int:
        return 1


_SIZE: Final = Integer(32, signed=False)
