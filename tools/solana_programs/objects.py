"""Reads relocatable eBPF objects, as LLVM writes them, and refuses what a Solana program cannot be made of.

Sources: the ELF64 layout of the System V ABI; relocation numbers of LLVM's `llvm/BinaryFormat/ELFRelocs/BPF.def`;
opcodes of RFC 9669.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


class LinkError(Exception):
    """The program cannot be linked; the message says which symbol, section or instruction is in the way."""


BPF: Final = 247
"""`e_machine` of eBPF; Solana's loaders accept it beside their own number."""

RELOCATION_64: Final = 1
RELOCATION_ABS64: Final = 2
RELOCATION_CALL: Final = 10

_SYMBOL_TABLE, _RELOCATIONS, _NO_BITS = 2, 9, 8
_WRITE, _ALLOCATE, _EXECUTE = 1, 2, 4
_LOCAL: Final = 0
GLOBAL: Final = 1
FUNCTION: Final = 2

WIDE_LOAD: Final = 0x18
"""`lddw`, the only instruction of two slots."""


@dataclass(slots=True, eq=False)
class Section:
    """One allocated section of an object; `address` is set once it is laid out."""

    name: str
    data: bytearray
    executable: bool
    alignment: int
    relocations: list[Relocation] = field(default_factory=list)
    address: int = -1
    live: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A name for a place in a section; without one it is defined elsewhere, or is a syscall."""

    name: str
    section: Section | None
    value: int
    size: int
    binding: int
    kind: int


@dataclass(frozen=True, slots=True)
class Relocation:
    """A place in a section's bytes that must come to name `symbol`."""

    offset: int
    kind: int
    symbol: Symbol


def read_object(path: Path) -> tuple[list[Section], list[Symbol]]:
    """The allocated sections and the symbols of one object. Raises LinkError when it is not one for Solana."""
    image = path.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01":
        raise LinkError(f"{path}: not a little-endian ELF64 object; was LLVM bitcode passed instead of an object?")
    kind, machine = struct.unpack_from("<HH", image, 16)
    if (kind, machine) != (1, BPF):
        raise LinkError(f"{path}: not a relocatable eBPF object, but type {kind} of machine {machine}")
    (table,) = struct.unpack_from("<Q", image, 40)
    count, names = struct.unpack_from("<HH", image, 60)
    headers = [struct.unpack_from("<IIQQQQIIQQ", image, table + 64 * index) for index in range(count)]

    def text(offset: int) -> str:
        return image[offset : image.index(0, offset)].decode()

    sections: dict[int, Section] = {}
    for index, header in enumerate(headers):
        name, kind, flags, offset, size, alignment = (header[at] for at in (0, 1, 2, 4, 5, 8))
        if not flags & _ALLOCATE or kind in (_RELOCATIONS, _SYMBOL_TABLE):
            continue
        label = text(headers[names][4] + name)
        if label.startswith(".eh_frame"):
            continue
        if flags & _WRITE and size and not label.startswith(".data.rel.ro"):
            raise LinkError(f"{path}: section {label} of {size} bytes is writable; a program has no mutable globals")
        data = bytearray(size) if kind == _NO_BITS else bytearray(image[offset : offset + size])
        sections[index] = Section(label, data, bool(flags & _EXECUTE), max(1, alignment))
    symbols = [
        Symbol(text(headers[header[6]][4] + name), sections.get(section), value, size, info >> 4, info & 15)
        for header in headers
        if header[1] == _SYMBOL_TABLE
        for name, info, _, section, value, size in struct.iter_unpack(
            "<IBBHQQ", image[header[4] : header[4] + header[5]]
        )
    ]
    for header in headers:
        if header[1] == _RELOCATIONS and header[7] in sections:
            for offset, info in struct.iter_unpack("<QQ", image[header[4] : header[4] + header[5]]):
                sections[header[7]].relocations.append(Relocation(offset, info & 0xFFFFFFFF, symbols[info >> 32]))
    return list(sections.values()), symbols


def refuse_foreign_instructions(section: Section) -> None:
    """Raise LinkError at the first instruction that sBPF lacks, or means something else by.

    The worst of them is silent: 32-bit addition, subtraction and multiplication sign-extend in sBPF and zero-extend
    in eBPF, so code with them loads, runs, and computes wrong numbers.
    """
    at = 0
    while at < len(section.data):
        opcode = section.data[at]
        family, operation = opcode & 7, opcode & 0xE0
        where = f"{section.name}+{at:#x}"
        if opcode == WIDE_LOAD:
            at += 16
            continue
        if family == 4 and opcode not in (0xD4, 0xDC):
            raise LinkError(
                f"{where}: 32-bit arithmetic ({opcode:#x}) sign-extends in sBPF but not in eBPF; compile for cpu v2"
            )
        if family == 6:
            raise LinkError(f"{where}: a 32-bit jump ({opcode:#x}) is not in sBPF; compile for cpu v2")
        if (family == 3 and operation in (0xC0, 0xE0)) or (family == 1 and operation == 0x80):
            raise LinkError(f"{where}: an atomic operation or sign-extending load ({opcode:#x}) is not in sBPF")
        if family == 7 and struct.unpack_from("<h", section.data, at + 2)[0] != 0:
            raise LinkError(f"{where}: signed division or extension ({opcode:#x}) of cpu v4; compile for cpu v2")
        at += 8
