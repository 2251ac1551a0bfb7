"""Stakes, as they are asked for and shown."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from hypernode.governance.rewards import Pool
from hypernode.governance.staking import Stake, StakeState, Tier, claimable, tier_of
from hypernode.governance.views.fields import Amount, time_of
from hypernode.kernel.times import moment, rfc3339


class StakeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new stake: so much, locked for so many days."""

    amount: Amount
    days: Annotated[int, Meta(ge=14, le=365)]


class AddRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """More for a stake, at the same lock."""

    amount: Amount


class StakeView(msgspec.Struct, frozen=True, kw_only=True):
    """A stake. `claimable` is what a claim would pay now; `reports` freeze it while there are any."""

    id: str
    state: StakeState
    amount: int
    days: int
    weight: int
    tier: Tier
    claimable: int
    claimed: int
    reports: int
    locked_at: str
    free_at: str | None


class StakePage(msgspec.Struct, frozen=True):
    """Stakes of a project, newest first; `next` continues after them."""

    items: list[StakeView]
    next: str | None


class StakingView(msgspec.Struct, frozen=True, kw_only=True):
    """All stakes together. `waiting` has come in for stakers and is shared out at the next act; `held` was shared out
    and not yet claimed."""

    staked: int
    weight: int
    waiting: int
    held: int
    distributed: int
    paid: int


def stake_view(stake: Stake, pool: Pool) -> StakeView:
    """A stake as it is shown; `pool` with all that has come in."""
    return StakeView(
        id=str(stake.id),
        state=stake.state,
        amount=stake.amount,
        days=stake.days,
        weight=stake.weight,
        tier=tier_of(stake.weight),
        claimable=claimable(stake, pool),
        claimed=stake.claimed,
        reports=stake.reports,
        locked_at=rfc3339(moment(stake.locked_at)),
        free_at=time_of(stake.free_at),
    )
