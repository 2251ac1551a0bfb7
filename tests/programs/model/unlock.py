"""The monthly unlock of vested tokens, and how it is split."""

from __future__ import annotations

from typing import Final

import msgspec

from hypernode.kernel.money import BPS, MICRO_PER_HYPER
from programs.model.refusal import require

SUPPLY: Final = 1_000_000_000 * MICRO_PER_HYPER
LOCKED: Final = 84_603_487 * MICRO_PER_HYPER
FIRST: Final = 6_768_279 * MICRO_PER_HYPER
CYCLES: Final = 12
CYCLE_S: Final = 30 * 86_400
BURN_BPS: Final = 2_000
STAKERS_BPS: Final = 3_000


class Unlock(msgspec.Struct, frozen=True):
    """One cycle's tokens, in µHYPER."""

    cycle: int
    amount: int
    burned: int
    stakers: int
    operations: int


def unlock(cycle: int, start: int, now: int) -> Unlock:
    """What cycle number `cycle`, from 0, unlocks. Raises Refusal before it is due, or after the last."""
    require(cycle < CYCLES, "NothingLeft")
    require(now >= start + cycle * CYCLE_S, "NotDue")
    amount = FIRST if cycle == 0 else (LOCKED - FIRST) // (CYCLES - 1)
    burned, stakers = amount * BURN_BPS // BPS, amount * STAKERS_BPS // BPS
    return Unlock(cycle, amount, burned, stakers, amount - burned - stakers)
