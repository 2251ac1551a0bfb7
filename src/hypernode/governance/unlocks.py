"""What is locked and comes free cycle by cycle: part burned, part to the stakers, the rest to operations."""

from __future__ import annotations

from typing import Final

import msgspec

from hypernode.kernel.errors import UnlockNotDue
from hypernode.kernel.money import MICRO_PER_HYPER, share
from hypernode.kernel.times import moment, rfc3339

LOCKED: Final = 84_603_487 * MICRO_PER_HYPER
FIRST_UNLOCK: Final = 6_768_279 * MICRO_PER_HYPER
CYCLES: Final = 12
LATER_UNLOCK: Final = (LOCKED - FIRST_UNLOCK) // (CYCLES - 1)
"""The rest in equal parts; it divides without remainder."""
CYCLE_S: Final = 30 * 86_400
BURN_BPS: Final = 2000
STAKERS_BPS: Final = 3000


class Vesting(msgspec.Struct, frozen=True):
    """What is still locked. `start` is the Unix second at which the first cycle is due; `cycles` were unlocked."""

    start: int
    cycles: int
    left: int


class Unlock(msgspec.Struct, frozen=True):
    """One cycle. The parts sum to the amount."""

    cycle: int
    amount: int
    burned: int
    stakers: int
    operations: int


def unlock(vesting: Vesting, now: int) -> tuple[Vesting, Unlock]:
    """Unlock the next cycle. Missed ones come one by one. Raises UnlockNotDue."""
    if vesting.cycles >= CYCLES:
        raise UnlockNotDue("all cycles have been unlocked")
    due = vesting.start + vesting.cycles * CYCLE_S
    if now < due:
        raise UnlockNotDue(f"the next cycle is due at {rfc3339(moment(due))}", extra={"due_in_s": due - now})
    amount = FIRST_UNLOCK if vesting.cycles == 0 else LATER_UNLOCK
    burned, stakers = share(amount, BURN_BPS), share(amount, STAKERS_BPS)
    parts = Unlock(vesting.cycles, amount, burned, stakers, amount - burned - stakers)
    return Vesting(vesting.start, vesting.cycles + 1, vesting.left - amount), parts
