"""Links eBPF objects of LLVM into the two forms of image that Solana's loaders take.

v0: text and constants in one region, its file offsets are its addresses; the loader resolves syscalls by name.
v3: text at 2^32, constants at 0; syscalls are named by hash in the instruction, and nothing is relocated.

Sources: loader, verifier and documentation of anza-xyz/sbpf, SIMD-0178 (static syscalls), SIMD-0189 (stricter ELF).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from .images import HEADER_V0, TEXT_BASE, Function, Parts, image_v0, image_v3
from .objects import (
    FUNCTION,
    GLOBAL,
    RELOCATION_64,
    RELOCATION_ABS64,
    RELOCATION_CALL,
    WIDE_LOAD,
    LinkError,
    Section,
    Symbol,
    read_object,
    refuse_foreign_instructions,
)

Version = Literal["v0", "v3"]

_NAMES = """
abort sol_panic_ sol_log_ sol_log_64_ sol_log_compute_units_ sol_log_pubkey sol_log_data sol_create_program_address
sol_try_find_program_address sol_sha256 sol_keccak256 sol_blake3 sol_secp256k1_recover sol_poseidon
sol_curve_validate_point sol_curve_group_op sol_curve_multiscalar_mul sol_alt_bn128_group_op sol_alt_bn128_compression
sol_big_mod_exp sol_remaining_compute_units sol_get_clock_sysvar sol_get_epoch_schedule_sysvar sol_get_rent_sysvar
sol_get_last_restart_slot sol_get_epoch_rewards_sysvar sol_get_epoch_stake sol_get_sysvar sol_memcpy_ sol_memmove_
sol_memcmp_ sol_memset_ sol_invoke_signed_c sol_invoke_signed_rust sol_set_return_data sol_get_return_data
sol_get_processed_sibling_instruction sol_get_stack_height
"""
SYSCALLS: Final = frozenset(_NAMES.split())
"""What a program may call. The loaders do not check names, so a misspelt one would fail only when it is called."""

_CALL_REGISTER: Final = 0x8D


def link(paths: Sequence[Path], version: Version, entry: str = "entrypoint") -> bytes:
    """The image of the program made of these objects, with what `entry` does not reach left out.

    Raises LinkError: an object or instruction that is not for Solana, a symbol missing or defined twice, a
    relocation that no image can hold.
    """
    sections, definitions = _gather(paths)
    if entry not in definitions:
        raise LinkError(f"nothing defines {entry}; a program exports it as its entry point")
    start = definitions[entry]
    assert start.section is not None
    _mark(start.section, definitions)
    text = [section for section in sections if section.live and section.executable]
    text.sort(key=lambda section: section is not start.section)
    constants = [section for section in sections if section.live and not section.executable]
    for section in text:
        refuse_foreign_instructions(section)

    text_start = HEADER_V0 if version == "v0" else 0
    text_end = _lay_out(text, text_start)
    constants_start = text_end if version == "v0" else 0
    constants_end = _lay_out(constants, constants_start)
    syscalls, calls = _relocate(text + constants, definitions, version)
    if version == "v0":
        for section in text:
            _name_registers_in_immediates(section)
    functions = [
        Function(symbol.section.address + symbol.value, symbol.size, name)
        for name, symbol in definitions.items()
        if symbol.section is not None and symbol.section.live and symbol.kind == FUNCTION
    ]
    parts = Parts(
        text=_bytes(text, text_start, text_end),
        text_start=text_start,
        constants=_bytes(constants, constants_start, constants_end),
        constants_start=constants_start,
        entry=start.section.address + start.value,
        functions=sorted(functions),
        syscalls=syscalls,
        calls=calls,
    )
    return image_v0(parts) if version == "v0" else image_v3(parts)


def syscall_hash(name: str) -> int:
    """The number that names a syscall in v3: Murmur3 of its name, seed 0 (Appleby's `MurmurHash3_x86_32`)."""
    data, mask = name.encode(), 0xFFFFFFFF

    def rotate(value: int, by: int) -> int:
        return (value << by | value >> (32 - by)) & mask

    def scramble(block: bytes) -> int:
        return rotate(int.from_bytes(block, "little") * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    state, whole = 0, len(data) & ~3
    for at in range(0, whole, 4):
        state = (rotate(state ^ scramble(data[at : at + 4]), 13) * 5 + 0xE6546B64) & mask
    if len(data) > whole:
        state ^= scramble(data[whole:])
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16


def _gather(paths: Sequence[Path]) -> tuple[list[Section], dict[str, Symbol]]:
    sections: list[Section] = []
    definitions: dict[str, Symbol] = {}
    for path in paths:
        found, symbols = read_object(path)
        sections += found
        for symbol in symbols:
            if symbol.section is None or symbol.binding == 0:
                continue
            other = definitions.get(symbol.name)
            if other is not None and other.binding == symbol.binding == GLOBAL:
                raise LinkError(f"{symbol.name} is defined twice, the second time in {path}")
            if other is None or symbol.binding == GLOBAL:
                definitions[symbol.name] = symbol
    return sections, definitions


def _target(symbol: Symbol, definitions: dict[str, Symbol]) -> Symbol | None:
    return symbol if symbol.section is not None else definitions.get(symbol.name)


def _mark(start: Section, definitions: dict[str, Symbol]) -> None:
    waiting = [start]
    while waiting:
        section = waiting.pop()
        if section.live:
            continue
        section.live = True
        for relocation in section.relocations:
            target = _target(relocation.symbol, definitions)
            if target is not None and target.section is not None:
                waiting.append(target.section)


def _lay_out(sections: Sequence[Section], start: int) -> int:
    at = start
    for section in sections:
        alignment = max(8, section.alignment)
        section.address = (at + alignment - 1) & -alignment
        at = section.address + len(section.data)
    return (at + 7) & -8


def _bytes(sections: Sequence[Section], start: int, end: int) -> bytes:
    memory = bytearray(end - start)
    for section in sections:
        memory[section.address - start : section.address - start + len(section.data)] = section.data
    return bytes(memory)


def _relocate(
    sections: Sequence[Section], definitions: dict[str, Symbol], version: Version
) -> tuple[list[str], list[tuple[int, str]]]:
    """Resolve every relocation in place. Returns the syscalls in use, and for v0 where each is called."""
    syscalls: list[str] = []
    calls: list[tuple[int, str]] = []
    for section in sections:
        for relocation in section.relocations:
            data, offset, where = section.data, relocation.offset, f"{section.name}+{relocation.offset:#x}"
            target = _target(relocation.symbol, definitions)
            if relocation.kind == RELOCATION_CALL and target is None:
                name = "abort" if relocation.symbol.name == "__bpf_trap" else relocation.symbol.name
                if name not in SYSCALLS:
                    raise LinkError(f"{where} calls {name}, which nothing defines and which is no syscall")
                if name not in syscalls:
                    syscalls.append(name)
                data[offset + 1] &= 0x0F
                if version == "v0":
                    struct.pack_into("<i", data, offset + 4, -1)
                    calls.append((section.address + offset, name))
                else:
                    struct.pack_into("<I", data, offset + 4, syscall_hash(name))
                continue
            if target is None or target.section is None:
                raise LinkError(f"{where} refers to {relocation.symbol.name}, which nothing defines")
            address = target.section.address + target.value
            if relocation.kind == RELOCATION_CALL:
                (addend,) = struct.unpack_from("<i", data, offset + 4)
                distance = (address + (addend + 1) * 8 - (section.address + offset + 8)) // 8
                if version == "v0" and distance == -1:
                    raise LinkError(f"{where} calls itself; v0 reads that as a syscall")
                data[offset + 1] = (data[offset + 1] & 0x0F) | 0x10
                struct.pack_into("<i", data, offset + 4, distance)
                continue
            base = address + (TEXT_BASE if version == "v0" or target.section.executable else 0)
            if relocation.kind == RELOCATION_64:
                (addend,) = struct.unpack_from("<I", data, offset + 4)
                struct.pack_into("<I", data, offset + 4, (base + addend) & 0xFFFFFFFF)
                struct.pack_into("<I", data, offset + 12, (base + addend) >> 32)
            elif relocation.kind == RELOCATION_ABS64:
                (addend,) = struct.unpack_from("<Q", data, offset)
                struct.pack_into("<Q", data, offset, base + addend)
            else:
                raise LinkError(f"{where}: no image can hold a relocation of kind {relocation.kind}")
    return syscalls, calls


def _name_registers_in_immediates(section: Section) -> None:
    """In v0 a call through a register names it in the immediate; upstream LLVM names it in the register field."""
    at = 0
    while at < len(section.data):
        if section.data[at] == _CALL_REGISTER:
            register = section.data[at + 1] & 0x0F
            section.data[at + 1] &= 0xF0
            struct.pack_into("<i", section.data, at + 4, register)
        at += 16 if section.data[at] == WIDE_LOAD else 8
