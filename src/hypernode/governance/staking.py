"""Stakes: HYPER locked for some days, and the weight that gives. Pure; times are Unix seconds, amounts µHYPER.

    active ── unstake ──► unstaking (weight 0) ── cooldown as long as the lock ── withdraw ──► withdrawn
      either of the first two: frozen while a report is open (no more, no withdrawal); reports end with the cooldown

At every change of its weight a stake's earnings are settled first. The last two weights are kept with the heights they
began at, so that a vote or a draw uses the weight from before its own height.
"""

from __future__ import annotations

import enum
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from hypernode.governance import rewards
from hypernode.governance.parameters import StakingRules
from hypernode.governance.rewards import Pool
from hypernode.kernel.errors import (
    NothingToClaim,
    StakeCooling,
    StakeFrozen,
    StakeRefused,
    StakeStateWrong,
)
from hypernode.kernel.money import MICRO_PER_HYPER, share, show
from hypernode.kernel.times import moment, rfc3339

DAY_S: Final = 86_400


class StakeState(enum.StrEnum):
    """Where a stake is."""

    ACTIVE = "active"
    UNSTAKING = "unstaking"
    WITHDRAWN = "withdrawn"


class Tier(enum.StrEnum):
    """What a weight is called."""

    STARTER = "starter"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    DIAMOND = "diamond"


TIERS: Final = (
    (100_000 * MICRO_PER_HYPER, Tier.DIAMOND),
    (50_000 * MICRO_PER_HYPER, Tier.GOLD),
    (10_000 * MICRO_PER_HYPER, Tier.SILVER),
    (1_000 * MICRO_PER_HYPER, Tier.BRONZE),
)


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """One stake. `earned` is settled up to `snapshot`; `claimed` of it, and of what came since, was paid."""

    id: UUID
    owner: UUID
    days: int
    amount: int = 0
    weight: int = 0
    weight_height: int = 0
    previous_weight: int = 0
    previous_height: int = 0
    earned: int = 0
    snapshot: int = 0
    claimed: int = 0
    state: StakeState = StakeState.ACTIVE
    reports: int = 0
    """Open reports; the stake is frozen while there are any."""
    locked_at: int = 0
    free_at: int | None = None


def weight_of(amount: int, days: int) -> int:
    """`amount · (365 + 3 · min(days, 365)) // 365`: 1.115 times the amount at 14 days, 4 times at a year."""
    return amount * (365 + 3 * min(days, 365)) // 365


def tier_of(weight: int) -> Tier:
    """What a weight is called."""
    return next((tier for least, tier in TIERS if weight >= least), Tier.STARTER)


def lock(
    stake_id: UUID, owner: UUID, amount: int, days: int, rules: StakingRules, pool: Pool, height: int, now: int
) -> tuple[Stake, Pool]:
    """Open a stake. Everything that came in must have been distributed, or it would share in what came before it.
    Raises StakeRefused."""
    if not rules.shortest_days <= days <= rules.longest_days:
        raise StakeRefused(f"a lock has {rules.shortest_days} to {rules.longest_days} days, not {days}")
    if amount < rules.least_amount:
        raise StakeRefused(f"a stake is at least {show(rules.least_amount)}, not {show(amount)}")
    stake = Stake(id=stake_id, owner=owner, days=days, amount=amount, locked_at=now)
    return _reweigh(stake, replace(pool, staked=pool.staked + amount), height)


def add(stake: Stake, amount: int, pool: Pool, height: int) -> tuple[Stake, Pool]:
    """Add to an active stake at the same lock. Raises StakeStateWrong, StakeFrozen."""
    _require(stake, StakeState.ACTIVE, "added to")
    if amount <= 0:
        raise StakeRefused("nothing is added")
    return _reweigh(replace(stake, amount=stake.amount + amount), replace(pool, staked=pool.staked + amount), height)


def unstake(stake: Stake, pool: Pool, height: int, now: int) -> tuple[Stake, Pool]:
    """End a stake: no weight from now on, and a cooldown as long as the lock. One under report too, or reports could
    keep it for ever; its money stays where a slash finds it. Raises StakeStateWrong."""
    _require_state(stake, StakeState.ACTIVE, "ended")
    ended = replace(stake, state=StakeState.UNSTAKING, free_at=now + stake.days * DAY_S)
    return _reweigh(ended, pool, height)


def withdraw(stake: Stake, pool: Pool, now: int) -> tuple[Stake, Pool, int]:
    """Take the money of an ended stake back: the third value. Raises StakeStateWrong, StakeFrozen, StakeCooling."""
    _require(stake, StakeState.UNSTAKING, "withdrawn")
    free_at = stake.free_at or 0
    if now < free_at:
        raise StakeCooling(f"the stake is free at {rfc3339(moment(free_at))}", extra={"free_in_s": free_at - now})
    amount = stake.amount
    return replace(stake, state=StakeState.WITHDRAWN, amount=0), replace(pool, staked=pool.staked - amount), amount


def claimable(stake: Stake, pool: Pool) -> int:
    """What a claim would pay, of what was distributed."""
    return stake.earned + rewards.earned_since(pool, stake.weight, stake.snapshot) - stake.claimed


def claim(stake: Stake, pool: Pool) -> tuple[Stake, Pool, int]:
    """Pay what was earned and not yet paid: the third value. A frozen or ended stake may still claim. Raises
    NothingToClaim."""
    amount = claimable(stake, pool)
    if amount <= 0:
        raise NothingToClaim()
    return replace(stake, claimed=stake.claimed + amount), rewards.pay(pool, amount), amount


def freeze(stake: Stake, now: int) -> Stake:
    """A report was made: the stake stays where it is until the report ends. Raises StakeStateWrong, also once its
    cooldown is over, which was the time to report it."""
    if stake.state is StakeState.WITHDRAWN:
        raise StakeStateWrong("the stake was withdrawn; there is nothing that a report could freeze")
    if stake.free_at is not None and now >= stake.free_at:
        raise StakeStateWrong("the stake's cooldown is over; it could be reported until then")
    return replace(stake, reports=stake.reports + 1)


def release(stake: Stake) -> Stake:
    """A report ended."""
    return replace(stake, reports=stake.reports - 1)


def slash(stake: Stake, bps: int, pool: Pool, height: int) -> tuple[Stake, Pool, int]:
    """A report ended with a finding: the third value leaves the stake."""
    amount = share(stake.amount, bps)
    left = replace(release(stake), amount=stake.amount - amount)
    return *_reweigh(left, replace(pool, staked=pool.staked - amount), height), amount


def weight_before(stake: Stake, height: int) -> int:
    """The weight a stake had before a height, or 0 when it changed twice since and is not known any more."""
    if stake.weight_height < height:
        return stake.weight
    return stake.previous_weight if stake.previous_height < height else 0


def _require_state(stake: Stake, state: StakeState, done: str) -> None:
    if stake.state is not state:
        raise StakeStateWrong(f"the stake is {stake.state}; only one that is {state} can be {done}")


def _require(stake: Stake, state: StakeState, done: str) -> None:
    _require_state(stake, state, done)
    if stake.reports:
        raise StakeFrozen(f"{stake.reports} open report{'s' if stake.reports > 1 else ''} must end first")


def _reweigh(stake: Stake, pool: Pool, height: int) -> tuple[Stake, Pool]:
    """Settle what the stake earned by its weight so far, then give it the weight of its amount and state."""
    weight = weight_of(stake.amount, stake.days) if stake.state is StakeState.ACTIVE else 0
    settled = stake.earned + rewards.earned_since(pool, stake.weight, stake.snapshot)
    changed = replace(
        stake,
        earned=settled,
        snapshot=pool.accumulator,
        weight=weight,
        weight_height=height,
        previous_weight=stake.weight,
        previous_height=stake.weight_height,
    )
    return changed, replace(pool, weight=pool.weight - stake.weight + weight)
