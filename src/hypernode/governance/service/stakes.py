"""Stakes and their rewards."""

from __future__ import annotations

from uuid import UUID

from hypernode.governance import rewards, staking, store
from hypernode.governance.service.sitting import Acts, Sitting
from hypernode.governance.views.stakes import StakePage, StakeView, StakingView, stake_view
from hypernode.kernel import limits
from hypernode.kernel.errors import Conflict, InvalidInput, NobodyStakes
from hypernode.kernel.ids import uuid7
from hypernode.ledger.model import AccountKind, Cause
from hypernode.tenancy.model import Idempotency


class Stakes:
    """Locking, ending, claiming. Before anything changes a weight or is claimed, what has come in is shared out."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    async def open(self, project_id: UUID, amount: int, days: int, idempotency: Idempotency | None = None) -> StakeView:
        """Lock money of a project. Raises StakeRefused, InsufficientFunds, Conflict when it has too many stakes."""

        async def work(sitting: Sitting) -> StakeView:
            count = await sitting.connection.fetchval(store.queries.count_stakes, project_id)
            if count >= limits.STAKES_PER_PROJECT:
                raise Conflict(f"the project has {count} stakes; add to one of them, or withdraw one")
            await sitting.distribute()
            stake, sitting.pool = staking.lock(
                uuid7(), project_id, amount, days, sitting.parameters.staking, sitting.pool, sitting.height, sitting.now
            )
            await sitting.take(project_id, AccountKind.STAKED, amount, Cause.STAKE)
            await store.put_stake(sitting.connection, stake)
            sitting.tell("stake.opened", project_id, stake=str(stake.id), amount=amount, days=days, weight=stake.weight)
            return stake_view(stake, sitting.pool)

        return await self._acts.act("stake.open", StakeView, work, project_id, idempotency)

    async def add(
        self, project_id: UUID, stake_id: UUID, amount: int, idempotency: Idempotency | None = None
    ) -> StakeView:
        """Add to a stake at the same lock. Raises NotFound, StakeStateWrong, StakeFrozen, InsufficientFunds."""

        async def work(sitting: Sitting) -> StakeView:
            stake = await store.find_stake(sitting.connection, stake_id, project_id)
            await sitting.distribute()
            stake, sitting.pool = staking.add(stake, amount, sitting.pool, sitting.height)
            await sitting.take(project_id, AccountKind.STAKED, amount, Cause.STAKE)
            await store.put_stake(sitting.connection, stake)
            sitting.tell("stake.added", project_id, stake=str(stake.id), amount=amount, weight=stake.weight)
            return stake_view(stake, sitting.pool)

        return await self._acts.act("stake.add", StakeView, work, project_id, idempotency)

    async def unstake(self, project_id: UUID, stake_id: UUID, idempotency: Idempotency | None = None) -> StakeView:
        """End a stake: no weight from now on. Raises NotFound, StakeStateWrong."""

        async def work(sitting: Sitting) -> StakeView:
            stake = await store.find_stake(sitting.connection, stake_id, project_id)
            await sitting.distribute()
            stake, sitting.pool = staking.unstake(stake, sitting.pool, sitting.height, sitting.now)
            await store.put_stake(sitting.connection, stake)
            view = stake_view(stake, sitting.pool)
            sitting.tell("stake.unstaked", project_id, stake=str(stake.id), amount=stake.amount, free_at=view.free_at)
            return view

        return await self._acts.act("stake.unstake", StakeView, work, project_id, idempotency)

    async def withdraw(self, project_id: UUID, stake_id: UUID, idempotency: Idempotency | None = None) -> StakeView:
        """Take the money of an ended stake back. Raises NotFound, StakeStateWrong, StakeFrozen, StakeCooling."""

        async def work(sitting: Sitting) -> StakeView:
            stake = await store.find_stake(sitting.connection, stake_id, project_id)
            stake, sitting.pool, amount = staking.withdraw(stake, sitting.pool, sitting.now)
            await sitting.move(AccountKind.STAKED, AccountKind.AVAILABLE, amount, Cause.WITHDRAWAL, creditor=project_id)
            await store.put_stake(sitting.connection, stake)
            sitting.tell("stake.withdrawn", project_id, stake=str(stake.id), amount=amount)
            return stake_view(stake, sitting.pool)

        return await self._acts.act("stake.withdraw", StakeView, work, project_id, idempotency)

    async def claim(self, project_id: UUID, stake_id: UUID, idempotency: Idempotency | None = None) -> StakeView:
        """Pay out what a stake has earned, also one that is frozen or ended. Raises NotFound, NothingToClaim."""

        async def work(sitting: Sitting) -> StakeView:
            stake = await store.find_stake(sitting.connection, stake_id, project_id)
            await sitting.distribute()
            stake, sitting.pool, amount = staking.claim(stake, sitting.pool)
            await sitting.move(AccountKind.STAKERS, AccountKind.AVAILABLE, amount, Cause.REWARD, creditor=project_id)
            await store.put_stake(sitting.connection, stake)
            sitting.tell("reward.claimed", project_id, stake=str(stake.id), amount=amount)
            return stake_view(stake, sitting.pool)

        return await self._acts.act("reward.claim", StakeView, work, project_id, idempotency)

    async def distribute(self, project_id: UUID | None = None) -> StakingView:
        """Share out what has come in for stakers; anyone may. Raises NobodyStakes."""

        async def work(sitting: Sitting) -> StakingView:
            if sitting.pool.weight == 0:
                raise NobodyStakes("what has come in waits for the first stake")
            await sitting.distribute()
            return _staking_view(sitting.pool, await sitting.balance(AccountKind.STAKERS))

        return await self._acts.act("reward.distribute", StakingView, work, project_id)

    async def view(self, project_id: UUID, stake_id: UUID) -> StakeView:
        """A project's stake. Raises NotFound."""
        async with self._acts.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            pool, _, stakers, _ = await store.read(connection)
            stake = await store.find_stake(connection, stake_id, project_id)
        return stake_view(stake, rewards.distribute(pool, stakers))

    async def page(self, project_id: UUID, cursor: str | None, limit: int) -> StakePage:
        """A project's stakes, newest first. Raises InvalidInput for a wrong cursor."""
        async with self._acts.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            pool, _, stakers, _ = await store.read(connection)
            rows = await connection.fetch(store.queries.list_stakes, project_id, read_cursor(cursor), limit + 1)
        current = rewards.distribute(pool, stakers)
        items = [stake_view(store.stake_of(row), current) for row in rows[:limit]]
        return StakePage(items, items[-1].id if len(rows) > limit else None)

    async def staking(self) -> StakingView:
        """All stakes together."""
        async with self._acts.pool.acquire() as connection:
            pool, _, stakers, _ = await store.read(connection)
        return _staking_view(pool, stakers)


def read_cursor(cursor: str | None) -> UUID | None:
    """The id after which a page begins. Raises InvalidInput."""
    try:
        return None if cursor is None else UUID(cursor)
    except ValueError as error:
        raise InvalidInput("the cursor is not one this service gave") from error


def _staking_view(pool: rewards.Pool, stakers: int) -> StakingView:
    return StakingView(
        staked=pool.staked,
        weight=pool.weight,
        waiting=stakers - pool.held,
        held=pool.held,
        distributed=pool.distributed,
        paid=pool.paid,
    )
