"""Rewards: one number grows with each distribution, and what every stake earned follows from it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from programs.model.refusal import require
from programs.model.staking import SCALE, Stake, earned


class Rewards(msgspec.Struct, frozen=True):
    """`accumulator` is rewards per weight, scaled; `held` what was distributed and not claimed, in µHYPER."""

    accumulator: int = 0
    held: int = 0
    distributed: int = 0
    paid: int = 0


def distribute(rewards: Rewards, balance: int, total_weight: int) -> Rewards:
    """Give what came in, `balance` less what is held, to those who stake now. Refuses when nobody does: it waits.

    What flooring leaves waits for the next time.
    """
    require(total_weight > 0, "NobodyStakes")
    grown = (balance - rewards.held) * SCALE // total_weight
    amount = -(-grown * total_weight // SCALE)
    return replace(
        rewards,
        accumulator=rewards.accumulator + grown,
        held=rewards.held + amount,
        distributed=rewards.distributed + amount,
    )


def claim(rewards: Rewards, stake: Stake, claimed: int) -> tuple[Rewards, int]:
    """Pay what a stake earned beyond what it `claimed` so far. Returns how much. Refuses when that is nothing."""
    amount = earned(stake, rewards.accumulator) - claimed
    require(amount > 0, "NothingToClaim")
    return replace(rewards, held=rewards.held - amount, paid=rewards.paid + amount), amount
