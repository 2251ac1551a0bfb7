"""One act of governance: a transaction that holds the one row they all hold, with what it moves and tells."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.governance import rewards, store
from hypernode.governance.views.supply import BurnView
from hypernode.kernel import limits
from hypernode.kernel.errors import FundTooSmall, InsufficientFunds, Overloaded
from hypernode.kernel.ids import uuid7
from hypernode.kernel.money import show
from hypernode.kernel.times import rfc3339, unix
from hypernode.ledger.model import AccountKind, Cause, Transfer
from hypernode.ledger.service import Ledger, lock_available, post, shared_balances
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import find_answers, remember_answers

T = TypeVar("T")
Clock = Callable[[datetime], datetime]


class Sitting:
    """What one act sees and does. `height` counts the acts; `height_hash` is a hash over all of them up to this one and
    over their times, which nobody knew before it began. Money moves and events are written when it ends."""

    def __init__(self, connection: Connection, ledger: Ledger, state: store.State, at: datetime, name: str) -> None:
        self.connection: Final = connection
        self.ledger: Final = ledger
        self.at: Final = at
        self.now: Final = unix(at)
        self.height: Final = state.height + 1
        stamp = f"{self.height} {at.isoformat()} {name}".encode()
        self.height_hash: Final = hashlib.sha256(state.head + stamp).digest()
        self.pool = state.pool
        self.parameters = state.parameters
        self._bonded = state.bonded
        self._transfers: list[Transfer] = []
        self._events: list[Event] = []

    async def distribute(self) -> None:
        """Share out what has come in for stakers. Before any change of weight, so that nobody shares in what came
        before them or misses what came while they had weight."""
        self.pool = rewards.distribute(self.pool, await self.balance(AccountKind.STAKERS))

    async def balance(self, kind: AccountKind) -> int:
        """What an account that belongs to nobody holds. Others may only add to it meanwhile."""
        return (await shared_balances(self.connection))[kind]

    async def take(self, project_id: UUID, to: AccountKind, amount: int, cause: Cause) -> None:
        """Move a project's money to an account that belongs to nobody. Raises InsufficientFunds."""
        balances, _ = await lock_available(self.connection, [project_id])
        if balances[project_id] < amount:
            missing = amount - balances[project_id]
            raise InsufficientFunds(
                f"the project has {show(balances[project_id])}, {show(missing)} less than this takes",
                extra={"short_by": missing},
            )
        await self.move(AccountKind.AVAILABLE, to, amount, cause, debtor=project_id)

    async def spend(self, fund: AccountKind, project_id: UUID, amount: int) -> None:
        """Pay a project out of a fund. Raises FundTooSmall."""
        held = await self.balance(fund)
        if held < amount:
            raise FundTooSmall(f"{fund} holds {show(held)}, less than {show(amount)}")
        await self.move(fund, AccountKind.AVAILABLE, amount, Cause.SPEND, creditor=project_id)

    async def burn(self, source: AccountKind, amount: int, reference: str, project_id: UUID | None = None) -> BurnView:
        """Take money, a project's or nobody's, out of the supply for ever, and record that. `amount` is above 0."""
        if project_id is not None:
            await self.take(project_id, AccountKind.BURNED, amount, Cause.BURN)
        else:
            await self.move(source, AccountKind.BURNED, amount, Cause.BURN)
        row = await self.connection.fetchrow(store.queries.insert_burn, self.at, amount, reference)
        return burn_view(row)

    async def move(
        self,
        debit: AccountKind,
        credit: AccountKind,
        amount: int,
        cause: Cause,
        *,
        debtor: UUID | None = None,
        creditor: UUID | None = None,
    ) -> None:
        """Move money when the act ends; nothing, if the amount is 0."""
        if amount == 0:
            return
        await self.ledger.know(self.connection, [one for one in (debtor, creditor) if one is not None])
        self._transfers.append(self.ledger.move(debit, credit, amount, cause, debtor=debtor, creditor=creditor))
        self._bonded += amount * ((credit is AccountKind.BONDED) - (debit is AccountKind.BONDED))

    def tell(self, kind: str, /, *project_ids: UUID, **data: Any) -> None:
        """An event for each of these projects, once."""
        self._events += [Event(one, kind, data=data) for one in dict.fromkeys(project_ids)]

    async def end(self) -> set[UUID]:
        """Write it all. Returns the projects that have news."""
        await post(self.connection, self._transfers)
        await record(self.connection, self._events)
        state = store.State(
            height=self.height,
            head=self.height_hash,
            at=self.at,
            bonded=self._bonded,
            pool=self.pool,
            parameters=self.parameters,
        )
        await store.write(self.connection, state)
        return {event.project_id for event in self._events}


class Acts:
    """Runs acts of governance, one after another, also over several coordinators. Those that wait here for their turn
    keep no connection to the database from anybody else."""

    def __init__(self, pool: Pool, ledger: Ledger, hints: Hints, clock: Clock = lambda at: at) -> None:
        """`clock` makes the time that counts from the database's."""
        self.pool: Final = pool
        self._ledger = ledger
        self._hints = hints
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting: Counter[UUID | None] = Counter()

    async def act(
        self,
        name: str,
        kind: type[T],
        work: Callable[[Sitting], Awaitable[T]],
        project_id: UUID | None = None,
        idempotency: Idempotency | None = None,
    ) -> T:
        """Do `work` wholly or not at all. Repeated with the same idempotency key it is done once, and gets the same
        answer of type `kind`. Raises Overloaded when the project has too many waiting, and whatever `work` raises."""
        told: set[UUID] = set()

        async def transaction(connection: Connection) -> T:
            told.clear()
            state, now = await store.lock(connection)
            keys = [(project_id, idempotency)] if project_id is not None and idempotency is not None else []
            if project_id is not None:
                known = (await find_answers(connection, keys)).answer(project_id, idempotency)
                if known is not None:
                    return msgspec.json.decode(known, type=kind)
            sitting = Sitting(connection, self._ledger, state, max(self._clock(now), state.at), name)
            result = await work(sitting)
            told.update(await sitting.end())
            await remember_answers(
                connection, [(owner, key, uuid7()) for owner, key in keys], msgspec.json.encode(result)
            )
            return result

        async with self._turn_of(project_id):
            try:
                result = await run_transaction(self.pool, transaction, idempotent=idempotency is not None)
            except asyncpg.UniqueViolationError:
                result = await run_transaction(self.pool, transaction)  # the key's twin in another room was faster
        self._hints.events.give(told)
        return result

    @asynccontextmanager
    async def _turn_of(self, project_id: UUID | None) -> AsyncIterator[None]:
        if self._waiting[project_id] >= limits.ACTS_PER_PROJECT:
            raise Overloaded(f"{limits.ACTS_PER_PROJECT} acts of this project wait for their turn")
        self._waiting[project_id] += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting[project_id] -= 1
            if not self._waiting[project_id]:
                del self._waiting[project_id]

    def time(self, now: datetime) -> datetime:
        """The time that counts, from the database's."""
        return self._clock(now)


def burn_view(row: Any) -> BurnView:
    """A burn as it is shown."""
    return BurnView(
        index=row["index"],
        at=rfc3339(row["at"]),
        cycle=row["cycle"],
        amount=row["amount"],
        cumulative=row["cumulative"],
        reference=row["reference"],
    )
