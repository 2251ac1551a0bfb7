"""What the programs' compiler makes of arithmetic, against Python's, on random and awkward operands.

This is what catches a compiler or a linker that silently means something else, such as 32-bit arithmetic whose
results are extended by their sign.
"""

from __future__ import annotations

import random
import struct

import pytest

from .coder import idl
from .world import Refused, World

WORD = 1 << 64
INPUTS = 400


@pytest.mark.parametrize("suffix", [".so", ".v0.so"])
def test_words_of_every_width_and_sign(suffix):
    world = World("selftest", suffix=suffix)
    for a, b, _ in operands(1):
        assert compute(world, "Words", a, b, 0) == (words(a, b), 0), (a, b)


@pytest.mark.parametrize("suffix", [".so", ".v0.so"])
@pytest.mark.parametrize("operation", ["MulDiv", "Share", "Times", "Divide", "Minus"])
def test_wide_integers(operation, suffix):
    world = World("selftest", suffix=suffix)
    refused = 0
    for a, b, c in operands(2):
        expected = reference(operation, a, b, c)
        refused += expected is None
        assert compute(world, operation, a, b, c) == expected, (a, b, c)
    assert 0 < refused < INPUTS


def operands(seed: int):
    chance = random.Random(seed)

    def word() -> int:
        return chance.choice(
            [
                chance.getrandbits(64), chance.getrandbits(64), chance.getrandbits(33), chance.getrandbits(32),
                chance.getrandbits(8), 2**32 - 1 - chance.getrandbits(3), 2**31 + chance.getrandbits(2),
                WORD - 1 - chance.getrandbits(4), 2**63 + chance.getrandbits(1), 0, 1, 10_000,
            ]
        )  # fmt: skip

    for _ in range(INPUTS):
        yield word(), word(), word()


def compute(world: World, operation: str, a: int, b: int, c: int) -> tuple[int, int] | None:
    instruction = world.instruction(
        "selftest", "compute", caller=world.payer.pubkey(), a=a, b=b, c=c, operation=operation
    )
    try:
        returned = world.submit([instruction], [], "selftest").returned
    except Refused as refused:
        if refused.code != idl("selftest").codes["Arithmetic"]:
            raise
        return None
    low, high = struct.unpack("<QQ", returned.ljust(16, b"\0"))
    return low, high


def reference(operation: str, a: int, b: int, c: int) -> tuple[int, int] | None:
    wide = a | b << 64
    match operation:
        case "MulDiv":
            value = None if c == 0 or a * b // c >= WORD else a * b // c
        case "Share":
            value = None if a * b // 10_000 >= WORD else a * b // 10_000
        case "Times":
            value = None if wide * c >= WORD**2 else wide * c
        case "Divide":
            value = wide // c if c else None
        case _:
            summed = wide + (c | a << 64)
            value = None if summed >= WORD**2 or summed < (b | c << 64) else summed - (b | c << 64)
    return None if value is None else (value % WORD, value >> 64)


def words(a: int, b: int) -> int:
    state = 0xCBF29CE484222325

    def mix(value: int) -> None:
        nonlocal state
        state = (state ^ value % WORD) * 0x100000001B3 % WORD

    def signed(value: int, bits: int) -> int:
        value %= 1 << bits
        return value - (1 << bits) if value >> (bits - 1) else value

    half = 1 << 32
    x, y, s, t = a % half, b % half, signed(a, 32), signed(b, 32)
    i, j = signed(a, 64), signed(b, 64)
    mix((x + y) % half)
    mix((x - y) % half)
    mix(x * y % half)
    mix(x // y if y else 1)
    mix(x % y if y else 2)
    mix(s + t)
    mix(signed(x - y, 32))
    mix(s)
    mix(s >> (y & 31))
    mix(x >> (y & 31))
    mix((x << (y & 31)) % half)
    mix(i >> (b & 63))
    mix(a >> (b & 63))
    mix(a << (b & 63))
    mix(a // b if b else 3)
    mix(a % b if b else 4)
    mix(s < t)
    mix(x < y)
    mix(i < j)
    mix(a < b)
    mix((x + y) % 65_536)
    mix(signed(x * 3, 8))
    mix(signed(a ^ b, 16))
    mix(int.from_bytes(x.to_bytes(4, "little"), "big"))
    mix(int.from_bytes(a.to_bytes(8, "little"), "big"))
    mix(int.from_bytes((a % 65_536).to_bytes(2, "little"), "big"))
    mix(signed(-s, 32))
    mix(~x % half)
    mix((x << (y & 31) | x >> (32 - (y & 31))) % half)
    mix(a << (b & 63) | a >> (64 - (b & 63)))
    mix(64 - a.bit_length())
    mix(x.bit_count())
    mix(a + b if a + b < WORD else 5)
    mix(a - b if a >= b else 6)
    mix(x + y if x + y < half else 7)
    mix(i + j if -(2**63) <= i + j < 2**63 else 8)
    mix(max(0, x - y))
    mix(s if s < 0 else y)
    return state
