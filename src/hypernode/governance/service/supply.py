"""The supply: what is burned, what is locked and comes free, and what operations may spend."""

from __future__ import annotations

from uuid import UUID

from hypernode.governance import store, unlocks
from hypernode.governance.service.sitting import Acts, Sitting, burn_view
from hypernode.governance.unlocks import Vesting
from hypernode.governance.views.supply import BurnPage, BurnView, SupplyView, UnlockView
from hypernode.kernel.errors import Conflict, InvalidInput, SupplyExhausted, UnlockNotDue
from hypernode.kernel.money import show
from hypernode.kernel.times import moment, rfc3339, rfc3339_or_none
from hypernode.ledger.model import SUPPLY, AccountKind, Cause
from hypernode.ledger.service import shared_balances
from hypernode.tenancy.model import Idempotency


class Supply:
    """Burning, unlocking, and showing where all HYPER is."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    async def burn(
        self, project_id: UUID, amount: int, reference: str, idempotency: Idempotency | None = None
    ) -> BurnView:
        """Burn a project's own money. Raises InsufficientFunds."""

        async def work(sitting: Sitting) -> BurnView:
            view = await sitting.burn(AccountKind.AVAILABLE, amount, reference, project_id)
            sitting.tell("burn.recorded", project_id, index=view.index, amount=amount, reference=reference)
            return view

        return await self._acts.act("burn", BurnView, work, project_id, idempotency)

    async def begin_vesting(self) -> Vesting:
        """Lock what is to come free in cycles, newly issued; the first cycle is due at once. For the admin of a
        network. Raises Conflict when it has begun, SupplyExhausted."""

        async def work(sitting: Sitting) -> Vesting:
            issued = -await sitting.balance(AccountKind.ISSUANCE)
            if issued + unlocks.LOCKED > SUPPLY:
                raise SupplyExhausted(f"{show(issued)} were issued, so {show(unlocks.LOCKED)} cannot be locked")
            vesting = Vesting(sitting.now, 0, unlocks.LOCKED)
            started = await sitting.connection.fetchval(
                store.queries.start_vesting, moment(vesting.start), vesting.left
            )
            if started is None:
                raise Conflict("vesting has begun before")
            await sitting.move(AccountKind.ISSUANCE, AccountKind.VESTING, vesting.left, Cause.VESTING)
            return vesting

        return await self._acts.act("vesting.begin", Vesting, work)

    async def unlock(self, project_id: UUID | None = None) -> UnlockView:
        """Unlock the next cycle, if it is due: part is burned, part is for stakers, the rest for operations. Anyone
        may. Raises UnlockNotDue."""

        async def work(sitting: Sitting) -> UnlockView:
            vesting = await store.find_vesting(sitting.connection)
            if vesting is None:
                raise UnlockNotDue("nothing is locked; the admin begins with: hypernode admin vesting")
            vesting, parts = unlocks.unlock(vesting, sitting.now)
            await sitting.burn(AccountKind.VESTING, parts.burned, f"unlock {parts.cycle}")
            await sitting.connection.execute(store.queries.write_vesting, vesting.cycles, vesting.left)
            await sitting.connection.execute(
                store.queries.insert_unlock,
                parts.cycle,
                sitting.at,
                parts.amount,
                parts.burned,
                parts.stakers,
                parts.operations,
            )
            await sitting.move(AccountKind.VESTING, AccountKind.STAKERS, parts.stakers, Cause.UNLOCK)
            await sitting.move(AccountKind.VESTING, AccountKind.OPERATIONS, parts.operations, Cause.UNLOCK)
            return unlock_view(parts, rfc3339(sitting.at))

        return await self._acts.act("unlock", UnlockView, work, project_id)

    async def spend_operations(self, project_id: UUID, amount: int) -> None:
        """Pay a project out of operations, by the admin. Raises FundTooSmall."""

        async def work(sitting: Sitting) -> None:
            await sitting.spend(AccountKind.OPERATIONS, project_id, amount)

        await self._acts.act("operations.spend", type(None), work)

    async def burns(self, cursor: str | None, limit: int) -> BurnPage:
        """All burns, newest first. Raises InvalidInput for a wrong cursor."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise InvalidInput("the cursor is not one this service gave")
        before = None if cursor is None else int(cursor)
        rows = await self._acts.pool.fetch(store.queries.list_burns, before, limit + 1)
        items = [burn_view(row) for row in rows[:limit]]
        return BurnPage(items, str(items[-1].index) if len(rows) > limit else None)

    async def view(self) -> SupplyView:
        """Where all HYPER is."""
        async with self._acts.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            shared = await shared_balances(connection)
            vesting = await store.find_vesting(connection)
            rows = await connection.fetch(store.queries.list_unlocks)
        issued, burned = -shared.pop(AccountKind.ISSUANCE), shared.pop(AccountKind.BURNED)
        # All accounts sum to zero, so what projects have needs no look at each of theirs.
        balances = {kind.value: balance for kind, balance in sorted(shared.items())}
        balances["projects"] = issued - burned - sum(shared.values())
        due = vesting and vesting.cycles < unlocks.CYCLES and vesting.start + vesting.cycles * unlocks.CYCLE_S
        return SupplyView(
            issued=issued,
            burned=burned,
            supply=issued - burned,
            most=SUPPLY,
            balances=balances,
            locked=vesting.left if vesting else 0,
            next_unlock_at=rfc3339_or_none(moment(due) if due else None),
            unlocks=[unlock_view(one, rfc3339(at)) for one, at in map(store.unlock_of, rows)],
        )


def unlock_view(parts: unlocks.Unlock, at: str) -> UnlockView:
    """An unlock as it is shown."""
    return UnlockView(
        cycle=parts.cycle,
        at=at,
        amount=parts.amount,
        burned=parts.burned,
        stakers=parts.stakers,
        operations=parts.operations,
    )
