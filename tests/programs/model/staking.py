"""Stakes: tokens locked for days, the weight that gives, and what they earn by it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from hypernode.kernel.money import BPS, MICRO_PER_HYPER
from programs.model.refusal import Refusal, require

DAY_S: Final = 86_400
SHORTEST_LOCK_DAYS: Final = 14
LONGEST_LOCK_DAYS: Final = 365
HIGHEST_SLASH_BPS: Final = 5_000
SCALE: Final = 10**12
"""What the accumulator of rewards is scaled by."""

TIERS: Final = (("Diamond", 100_000), ("Gold", 50_000), ("Silver", 10_000), ("Bronze", 1_000))
"""Stake tiers and the HYPER of weight they begin at."""

ROOM: Final = ((100_000, None), (10_000, 10), (1_000, 3), (100, 1))
"""HYPER of stake and the public jobs that may run at once on it; None is without a bound."""


class Parameters(msgspec.Struct, frozen=True):
    """What governance may change, within bounds no vote can cross."""

    least_amount: int = MICRO_PER_HYPER
    shortest_days: int = SHORTEST_LOCK_DAYS
    longest_days: int = LONGEST_LOCK_DAYS

    def check(self) -> None:
        """Raise Refusal outside the hard bounds."""
        valid = (
            SHORTEST_LOCK_DAYS <= self.shortest_days <= self.longest_days <= LONGEST_LOCK_DAYS
            and 0 < self.least_amount <= 1_000_000 * MICRO_PER_HYPER
        )
        require(valid, "BadParameters")


class StakeState(StrEnum):
    """Where a stake is; a withdrawn one is empty and may be used again."""

    WITHDRAWN = "Withdrawn"
    ACTIVE = "Active"
    UNSTAKING = "Unstaking"


class Stake(msgspec.Struct, frozen=True):
    """One stake. `earned` is settled up to the accumulator's value `snapshot`; the last two weights are kept with the
    heights they began at, so that votes and draws can use the weight of an earlier height."""

    amount: int = 0
    weight: int = 0
    weight_height: int = 0
    previous_weight: int = 0
    previous_height: int = 0
    earned: int = 0
    snapshot: int = 0
    free_at: int = 0
    days: int = 0
    reports: int = 0
    state: StakeState = StakeState.WITHDRAWN


class Pool(msgspec.Struct, frozen=True):
    """The sums of all stakes, with the weight before the height it last changed at."""

    amount: int = 0
    weight: int = 0
    weight_height: int = 0
    previous_weight: int = 0


def weight_of(amount: int, days: int) -> int:
    """The weight of an amount locked for so many days: 1.115 times at 14 days, 4 times at 365."""
    return amount * (365 + 3 * days) // 365


def tier_of(weight: int) -> str:
    """The stake tier of a weight."""
    return next((name for name, hyper in TIERS if weight >= hyper * MICRO_PER_HYPER), "Starter")


def room_of(amount: int) -> int | None:
    """How many public jobs may run at once on a stake; None is without a bound."""
    return next((jobs for hyper, jobs in ROOM if amount >= hyper * MICRO_PER_HYPER), 0)


def earned(stake: Stake, accumulator: int) -> int:
    """All a stake has earned, claimed or not, in µHYPER."""
    return stake.earned + stake.weight * (accumulator - stake.snapshot) // SCALE


def reweigh(pool: Pool, stake: Stake, accumulator: int, height: int) -> tuple[Pool, Stake]:
    """Settle what the stake earned by its weight so far, then give it the weight of its amount and state."""
    weight = weight_of(stake.amount, stake.days) if stake.state == StakeState.ACTIVE else 0
    changed = replace(stake, earned=earned(stake, accumulator), snapshot=accumulator, weight=weight)
    if stake.weight_height != height:
        changed = replace(
            changed, previous_weight=stake.weight, previous_height=stake.weight_height, weight_height=height
        )
    if pool.weight_height != height:
        pool = replace(pool, previous_weight=pool.weight, weight_height=height)
    return replace(pool, weight=pool.weight - stake.weight + weight), changed


def total_before(pool: Pool, height: int) -> int:
    """The weight of all stakes before `height`, which is the one of now or a later one than it last changed at."""
    return pool.weight if pool.weight_height < height else pool.previous_weight


def weight_before(stake: Stake, height: int) -> int:
    """The weight a stake had before `height`, or 0 when it changed twice since and is not known any more."""
    if stake.weight_height < height:
        return stake.weight
    return stake.previous_weight if stake.previous_height < height else 0


def stake_tokens(
    pool: Pool, stake: Stake, parameters: Parameters, amount: int, days: int, accumulator: int, height: int
) -> tuple[Pool, Stake]:
    """Lock tokens. What came in as rewards must have been distributed before. Raises Refusal."""
    require(stake.state == StakeState.WITHDRAWN, "NotWithdrawn")
    require(parameters.shortest_days <= days <= parameters.longest_days, "LockOutOfBounds")
    require(amount >= parameters.least_amount, "TooLittle")
    locked = replace(stake, state=StakeState.ACTIVE, amount=amount, days=days, free_at=0)
    return reweigh(replace(pool, amount=pool.amount + amount), locked, accumulator, height)


def add_tokens(pool: Pool, stake: Stake, amount: int, accumulator: int, height: int) -> tuple[Pool, Stake]:
    """Add to an active stake, for the same lock. Raises Refusal."""
    require(stake.state == StakeState.ACTIVE, "NotActive")
    require(stake.reports == 0, "Frozen")
    require(amount > 0, "TooLittle")
    grown = replace(stake, amount=stake.amount + amount)
    return reweigh(replace(pool, amount=pool.amount + amount), grown, accumulator, height)


def unstake(pool: Pool, stake: Stake, now: int, accumulator: int, height: int) -> tuple[Pool, Stake]:
    """End a stake, also one under report: weight 0 at once, its tokens free after a cooldown as long as the lock, once
    no report is open. Raises Refusal."""
    require(stake.state == StakeState.ACTIVE, "NotActive")
    ended = replace(stake, state=StakeState.UNSTAKING, free_at=now + stake.days * DAY_S)
    return reweigh(pool, ended, accumulator, height)


def withdraw(pool: Pool, stake: Stake, now: int) -> tuple[Pool, Stake, int]:
    """Give the tokens of an ended stake back. Returns how many. Raises Refusal."""
    require(stake.state == StakeState.UNSTAKING, "NotUnstaking")
    require(stake.reports == 0, "Frozen")
    require(now >= stake.free_at, "StillCooling")
    empty = replace(stake, state=StakeState.WITHDRAWN, amount=0)
    return replace(pool, amount=pool.amount - stake.amount), empty, stake.amount


def freeze(stake: Stake, now: int) -> Stake:
    """Count a report; what is staked stays where it is. Raises Refusal, also when the cooldown is over."""
    require(stake.state != StakeState.WITHDRAWN, "NotActive")
    require(stake.state == StakeState.ACTIVE or now < stake.free_at, "ReportedTooLate")
    return replace(stake, reports=stake.reports + 1)


def release(stake: Stake) -> Stake:
    """A report ended without a finding. Raises Refusal."""
    require(stake.reports > 0, "NotFrozen")
    return replace(stake, reports=stake.reports - 1)


def slash(pool: Pool, stake: Stake, bps: int, accumulator: int, height: int) -> tuple[Pool, Stake, int]:
    """A report ended with a finding. Returns how many µHYPER left the stake. Raises Refusal."""
    if bps > HIGHEST_SLASH_BPS:
        raise Refusal("SlashTooHigh")
    freed = release(stake)
    taken = stake.amount * bps // BPS
    less = replace(freed, amount=stake.amount - taken)
    pool, less = reweigh(replace(pool, amount=pool.amount - taken), less, accumulator, height)
    return pool, less, taken
