"""Writes the ELF images of both versions around text and constants that are laid out and relocated already."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .objects import BPF, RELOCATION_CALL

TEXT_BASE: Final = 1 << 32
"""Where the loaders map a program's text, in bytes."""

HEADER_V0: Final = 64 + 3 * 56
"""File offset, and so address, of the text in v0: the ELF header and three program headers come before it."""

_PROGRAM_BITS, _SYMBOLS, _STRINGS, _DYNAMIC, _RELOCATIONS, _DYNAMIC_SYMBOLS = 1, 2, 3, 6, 9, 11


class Function(NamedTuple):
    """A function of the symbol table: address in the text's own space, size in bytes, name."""

    address: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A linked program before it is an image. `calls` and `syscalls` matter to v0 only."""

    text: bytes
    text_start: int
    constants: bytes
    constants_start: int
    entry: int
    functions: Sequence[Function]
    syscalls: Sequence[str]
    calls: Sequence[tuple[int, str]]


class _Header(NamedTuple):
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    data: bytes
    link: int = 0
    info: int = 0
    alignment: int = 8
    entry_size: int = 0


def image_v0(parts: Parts) -> bytes:
    """The image that every runtime loads, until SIMD-0500 forbids to deploy it."""
    start = parts.text_start
    out = bytearray(start) + parts.text
    headers = [_Header(".text", _PROGRAM_BITS, 6, start, start, parts.text)]
    if parts.constants:
        at = parts.constants_start
        headers.append(_Header(".rodata", _PROGRAM_BITS, 2, at, at, parts.constants))
        out += parts.constants
    segments = [(1, 5, start, len(out) - start)]
    if parts.calls:
        names, offsets = _strings(parts.syscalls)
        symbols = bytes(24) + b"".join(
            struct.pack("<IBBHQQ", offsets[name], 0x10, 0, 0, 0, 0) for name in parts.syscalls
        )
        number = {name: index + 1 for index, name in enumerate(parts.syscalls)}
        relocations = b"".join(
            struct.pack("<QQ", at, number[name] << 32 | RELOCATION_CALL) for at, name in sorted(parts.calls)
        )
        dynamic_at = len(out)
        symbols_at = dynamic_at + 8 * 16
        names_at = symbols_at + len(symbols)
        relocations_at = (names_at + len(names) + 7) & -8
        entries = [
            (17, relocations_at), (18, len(relocations)), (19, 16), (6, symbols_at),
            (11, 24), (5, names_at), (10, len(names)), (0, 0),
        ]  # fmt: skip
        dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
        table = len(headers) + 2
        headers += [
            _Header(".dynamic", _DYNAMIC, 3, dynamic_at, dynamic_at, dynamic, table + 1, 0, 8, 16),
            _Header(".dynsym", _DYNAMIC_SYMBOLS, 2, symbols_at, symbols_at, symbols, table + 1, 1, 8, 24),
            _Header(".dynstr", _STRINGS, 2, names_at, names_at, names, 0, 0, 1),
            _Header(".rel.dyn", _RELOCATIONS, 2, relocations_at, relocations_at, relocations, table, 0, 8, 16),
        ]
        out += dynamic + symbols + names
        out += bytes(relocations_at - len(out)) + relocations
        segments += [(1, 4, dynamic_at, len(out) - dynamic_at), (2, 6, dynamic_at, len(dynamic))]
    _finish(out, headers, parts.functions, 1, parts.entry, 0, len(segments))
    for index, (kind, flags, offset, size) in enumerate(segments):
        at = 64 + 56 * index
        struct.pack_into("<IIQQQQQQ", out, at, kind, flags, offset, offset, offset, size, size, 8)
    return bytes(out)


def image_v3(parts: Parts) -> bytes:
    """The image of SBF v3: two segments, no relocations."""
    segments = [(4, ".rodata", 0, parts.constants)] if parts.constants else []
    segments.append((1, ".text", TEXT_BASE, parts.text))
    out = bytearray(64 + 56 * len(segments))
    headers = []
    for index, (flags, name, address, data) in enumerate(segments):
        header = (1, flags, len(out), address, address, len(data), len(data), 8)
        struct.pack_into("<IIQQQQQQ", out, 64 + 56 * index, *header)
        headers.append(_Header(name, _PROGRAM_BITS, 6 if flags == 1 else 2, address, len(out), data))
        out += data
    functions = [function._replace(address=TEXT_BASE + function.address) for function in parts.functions]
    _finish(out, headers, functions, len(segments), TEXT_BASE + parts.entry, 3, len(segments))
    return bytes(out)


def _strings(names: Iterable[str]) -> tuple[bytes, dict[str, int]]:
    table, offsets = b"\0", {}
    for name in names:
        offsets[name] = len(table)
        table += name.encode() + b"\0"
    return table, offsets


def _finish(
    out: bytearray,
    headers: list[_Header],
    functions: Sequence[Function],
    text_index: int,
    entry: int,
    flags: int,
    segments: int,
) -> None:
    """Append symbols and section headers, and write the ELF header."""
    if functions:
        names, offsets = _strings(function.name for function in functions)
        symbols = bytes(24) + b"".join(
            struct.pack("<IBBHQQ", offsets[name], 0x12, 0, text_index, address, size)
            for address, size, name in functions
        )
        out += bytes(-len(out) % 8)
        headers.append(_Header(".symtab", _SYMBOLS, 0, 0, len(out), symbols, len(headers) + 2, 1, 8, 24))
        out += symbols
        headers.append(_Header(".strtab", _STRINGS, 0, 0, len(out), names, alignment=1))
        out += names
    names, offsets = _strings([header.name for header in headers] + [".shstrtab"])
    headers.append(_Header(".shstrtab", _STRINGS, 0, 0, len(out), names, alignment=1))
    out += names
    out += bytes(-len(out) % 8)
    table = len(out)
    out += bytes(64)
    for header in headers:
        out += struct.pack(
            "<IIQQQQIIQQ", offsets[header.name], header.kind, header.flags, header.address, header.offset,
            len(header.data), header.link, header.info, header.alignment, header.entry_size,
        )  # fmt: skip
    count = len(headers) + 1
    out[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, BPF, 1, entry, 64, table, flags, 64, 56, segments, 64, count,
        count - 1,
    )  # fmt: skip
