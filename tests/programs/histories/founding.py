"""The database in which all histories of the embedded room begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, TypeVar
from unittest.mock import patch
from uuid import UUID

from hypernode.db.pool import Pool, create_pool
from hypernode.events.hints import Hints
from hypernode.governance.service import cases, proposals, stakes
from hypernode.governance.service.governance import Governance
from hypernode.kernel.keys import KeyPair
from hypernode.kernel.times import moment
from hypernode.ledger.model import AccountKind, Cause
from hypernode.ledger.service import Ledger
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy
from programs.world import START

from .escrows import post
from .state import FUNDS, PEOPLE, TREASURY

T = TypeVar("T")
AHEAD: Final = datetime(2100, 1, 1, tzinfo=UTC) - moment(START)
"""How much later the room's clock is than the chain's. The room's time never goes back, and nodes must have been there
before a report, so histories begin long after anything that has the database's own time. Nothing compares a time of one
world with a time of another."""
TABLES = (
    "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    " and not relispartition"
)
KEEP = f"""
do $$ declare name text; begin
    create schema founding;
    for name in {TABLES} loop
        execute format('create table founding.%1$I as table public.%1$I', name);
    end loop;
end $$
"""
"""Copy every table."""
PUT_BACK = f"""
do $$ declare name text; begin
    -- Most of it is history, which triggers do not let anybody change.
    perform set_config('session_replication_role', 'replica', true);
    for name in {TABLES} loop
        execute format('delete from public.%1$I', name);
        execute format('insert into public.%1$I overriding system value table founding.%1$I', name);
    end loop;
end $$
"""
"""Make every table what its copy is."""


class Founding:
    """What all histories begin with: a database with people who have money and a node each, and vesting begun.

    A new database for each history would take longer than the history. So there is one, in which every table is put
    back as it was found. Ids are counted instead of drawn, and the hash that acts go on from is always the same, so
    that a history repeated goes the same way, panels and all.
    """

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._ids = count(1)
        self._patches = ExitStack()
        for service in (cases, proposals, stakes):
            self._patches.enter_context(patch.object(service, "uuid7", lambda: UUID(int=next(self._ids))))
        self.pool = self.run(create_pool(dsn, min_size=1, max_size=1))
        self.people: Final = tuple(self.run(self._found()))
        self.run(self.pool.execute(KEEP))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def again(self) -> None:
        """Begin anew."""
        self._ids = count(1)
        self.run(self.pool.execute(PUT_BACK))

    def close(self) -> None:
        self._patches.close()
        self.run(self.pool.close())
        self._runner.close()

    async def _found(self) -> list[UUID]:
        ledger, room = rooms(self.pool, lambda _: moment(START) + AHEAD)
        tenancy = Tenancy(self.pool)
        people = [await tenancy.create_project(f"person-{number}") for number in range(PEOPLE)]
        for person in people:
            await ledger.deposit(person, FUNDS)
            insert = "insert into node (key, project_id, name) values ($1, $2, 'n')"
            await self.pool.execute(insert, str(person), person)
        issuance, treasury = AccountKind.ISSUANCE, AccountKind.TREASURY
        await post(self.pool, ledger, people, lambda: [ledger.move(issuance, treasury, TREASURY, Cause.DEPOSIT)])
        await room.supply.begin_vesting()
        await self.pool.execute("update governance set head = sha256('histories')")
        return people


def rooms(pool: Pool, clock: Callable[[datetime], datetime]) -> tuple[Ledger, Governance]:
    """Ledger and governance over a database."""
    ledger, hints = Ledger(pool), Hints()
    nodes = Nodes(pool, hints, KeyPair.generate())
    return ledger, Governance(pool, ledger, Tenancy(pool), nodes, hints, clock=clock)
