"""HTTP for burns, unlocks and the supply."""

from __future__ import annotations

from litestar import get, post
from litestar.params import JSONBody

from hypernode.governance.api.common import BROKE, LARGE, REPEATED, WRONG, Room, idempotency_of, refusals
from hypernode.governance.views.supply import BurnPage, BurnRequest, BurnView, SupplyView, UnlockView
from hypernode.httpapi import PUBLIC, Cursor, Decoded, IdempotencyKey, Limit, Project, problems
from hypernode.kernel import limits


@get(
    "/burns",
    summary="The burn tracker",
    tags=["governance"],
    security=[{}],
    opt={PUBLIC: True},
    responses=problems(s422="The cursor is not one this service gave."),
)
async def burns(governance: Room, cursor: Cursor = None, limit: Limit = limits.PAGE_ITEMS_DEFAULT) -> BurnPage:
    """Every burn, newest first, with how much had been burned by then. Anyone may look."""
    return await governance.supply.burns(cursor, limit)


@get(
    "/supply",
    summary="Where all HYPER is",
    tags=["governance"],
    security=[{}],
    opt={PUBLIC: True},
    responses=problems(),
)
async def supply(governance: Room) -> SupplyView:
    """What was issued and burned, what every kind of account holds, and the unlocks. Anyone may look."""
    return await governance.supply.view()


@post(
    "/burns",
    summary="Burn the project's own HYPER",
    description="For ever: nobody can bring it back.",
    tags=["governance"],
    dto=Decoded[BurnRequest],
    return_dto=None,
    responses=refusals(s402=BROKE, s409=REPEATED, s413=LARGE, s422=WRONG),
)
async def burn(
    data: JSONBody[BurnRequest], project: Project, governance: Room, idempotency_key: IdempotencyKey = None
) -> BurnView:
    """Burn the project's own HYPER."""
    key = idempotency_of(idempotency_key, "burn", request=data)
    return await governance.supply.burn(project.project_id, data.amount, data.reference, key)


@post(
    "/unlocks",
    summary="Unlock the next cycle",
    description="Once it is due. Anyone may; the coordinator does so by itself.",
    tags=["governance"],
    responses=refusals(s409="No unlock is due."),
)
async def unlock(project: Project, governance: Room) -> UnlockView:
    """Unlock the next cycle."""
    return await governance.supply.unlock(project.project_id)
