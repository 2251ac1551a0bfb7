"""HTTP for stakes and their rewards."""

from __future__ import annotations

from litestar import Controller, get, post
from litestar.params import JSONBody

from hypernode.governance.api.common import BROKE, KEY, LARGE, REPEATED, WRONG, Room, StakeId, idempotency_of, refusals
from hypernode.governance.views.stakes import AddRequest, StakePage, StakeRequest, StakeView, StakingView
from hypernode.httpapi import Cursor, Decoded, IdempotencyKey, Limit, Project, problems
from hypernode.kernel import limits

UNKNOWN = "The project has no such stake."


class StakeController(Controller):
    """Stakes."""

    path = "/stakes"
    tags = ["governance"]  # noqa: RUF012  as Litestar declares it

    @get(summary="The project's stakes", responses=problems(s422="The cursor is not one this service gave."))
    async def list_stakes(
        self,
        project: Project,
        governance: Room,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> StakePage:
        """The project's stakes, newest first."""
        return await governance.stakes.page(project.project_id, cursor, limit)

    @post(
        summary="Open a stake",
        description="Locks money of the project for 14 to 365 days. It weighs in votes and earns rewards by "
        "`amount · (365 + 3 · days) // 365`.",
        dto=Decoded[StakeRequest],
        return_dto=None,
        responses=refusals(s402=BROKE, s409=REPEATED, s413=LARGE, s422=WRONG),
    )
    async def open_stake(
        self,
        data: JSONBody[StakeRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> StakeView:
        """Open a stake."""
        key = idempotency_of(idempotency_key, "stake.open", request=data)
        return await governance.stakes.open(project.project_id, data.amount, data.days, key)

    @get("/{stake_id:uuid}", summary="One stake", responses=problems(s404=UNKNOWN))
    async def get_stake(self, stake_id: StakeId, project: Project, governance: Room) -> StakeView:
        """One stake."""
        return await governance.stakes.view(project.project_id, stake_id)

    @post(
        "/{stake_id:uuid}/add",
        summary="Add to a stake",
        description="At the same lock, whose length counts from unstaking.",
        dto=Decoded[AddRequest],
        return_dto=None,
        status_code=200,
        responses=refusals(s402=BROKE, s404=UNKNOWN, s409="It is not active, or under report.", s413=LARGE, s422=WRONG),
    )
    async def add_to_stake(
        self,
        stake_id: StakeId,
        data: JSONBody[AddRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> StakeView:
        """Add to a stake."""
        key = idempotency_of(idempotency_key, "stake.add", stake_id, data)
        return await governance.stakes.add(project.project_id, stake_id, data.amount, key)

    @post(
        "/{stake_id:uuid}/unstake",
        summary="End a stake",
        description="It weighs nothing from now on, and can be withdrawn after a cooldown as long as its lock, once no "
        "report is open.",
        status_code=200,
        responses=refusals(s404=UNKNOWN, s409="It is not active.", s422=KEY),
    )
    async def unstake(
        self, stake_id: StakeId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> StakeView:
        """End a stake."""
        key = idempotency_of(idempotency_key, "stake.unstake", stake_id)
        return await governance.stakes.unstake(project.project_id, stake_id, key)

    @post(
        "/{stake_id:uuid}/withdraw",
        summary="Withdraw an ended stake",
        status_code=200,
        responses=refusals(s404=UNKNOWN, s409="It has not been ended, is cooling down, or is under report.", s422=KEY),
    )
    async def withdraw(
        self, stake_id: StakeId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> StakeView:
        """Withdraw an ended stake."""
        key = idempotency_of(idempotency_key, "stake.withdraw", stake_id)
        return await governance.stakes.withdraw(project.project_id, stake_id, key)

    @post(
        "/{stake_id:uuid}/claim",
        summary="Claim a stake's rewards",
        description="Also of one that was ended, withdrawn or reported.",
        status_code=200,
        responses=refusals(s404=UNKNOWN, s409="There is nothing to claim.", s422=KEY),
    )
    async def claim(
        self, stake_id: StakeId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> StakeView:
        """Claim a stake's rewards."""
        key = idempotency_of(idempotency_key, "reward.claim", stake_id)
        return await governance.stakes.claim(project.project_id, stake_id, key)


@get("/staking", summary="All stakes together", tags=["governance"], responses=problems())
async def staking(project: Project, governance: Room) -> StakingView:
    """What is staked, and what stakers were given."""
    return await governance.stakes.staking()


@post(
    "/staking/distribute",
    summary="Share out what has come in for stakers",
    description="Anyone may. It also happens before every change of a weight and every claim.",
    tags=["governance"],
    status_code=200,
    responses=refusals(s409="Nobody stakes."),
)
async def distribute(project: Project, governance: Room) -> StakingView:
    """Share out what has come in for stakers."""
    return await governance.stakes.distribute(project.project_id)
