"""Acts of governance beside each other and beside settlements: nobody waits for whom they need not, nothing happens
twice or by half, and the books balance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from fakes.network import FUNDS, Network, problem
from fakes.node import WAIT_S
from hypernode.coordinator import keeper
from hypernode.db.pool import create_pool
from hypernode.events.hints import Hints
from hypernode.governance.service.governance import Governance
from hypernode.kernel import limits
from hypernode.kernel.errors import NothingToClaim
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.service import Ledger
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy

HYPER = 1_000_000
ACTS = 20
"""More than the coordinator has connections to its database."""


@pytest.fixture(autouse=True)
def nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator's duties are done where a test says so, and not meanwhile."""
    monkeypatch.setattr(keeper, "GOVERNANCE_S", 3600.0)


@asynccontextmanager
async def held(net: Network) -> AsyncIterator[None]:
    """The row that every act locks is locked by somebody else."""
    async with net.pool.acquire() as connection, connection.transaction():
        await connection.execute("select from governance for update")
        yield


async def true(net: Network, question: str) -> Any:
    """What a statement answers, once it answers anything but null or false."""
    async with asyncio.timeout(WAIT_S):
        while not (answer := await net.pool.fetchval(question)):
            await asyncio.sleep(0.01)
    return answer


async def waiting(net: Network) -> int:
    """The process id of a connection once it waits for that row."""
    blocked = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%from governance%'"
    found: int = await true(net, blocked)
    return found


async def settled(net: Network, wall_ms: int = 10_000) -> None:
    """A job runs and is paid."""
    node = net.nodes[0] if net.nodes else await net.node()
    await net.submit()
    lease = await node.start()
    # Events are told behind the oldest transaction, and some tests hold one open.
    await true(net, "select bool_and(started_at is not null) from attempt where state = 'leased'")
    await net.age(20)
    assert (await node.report(lease, wall_ms=wall_ms)).price


@asynccontextmanager
async def second_room(net: Network, dsn: str) -> AsyncIterator[Governance]:
    """Governance of another coordinator of the same network."""
    pool = await create_pool(dsn, min_size=1, max_size=4)
    try:
        nodes = Nodes(pool, Hints(), KeyPair.generate())
        yield Governance(pool, Ledger(pool), Tenancy(pool), nodes, Hints())
    finally:
        await pool.close()


async def project_id(net: Network, name: str = "client") -> UUID:
    return next(UUID(row.id) for row in await net.admin.projects() if row.name == name)


async def test_jobs_go_on_while_acts_wait(net: Network, http: httpx.AsyncClient) -> None:
    await net.node()
    body = {"amount": HYPER, "days": 30}
    async with held(net):
        acts = [asyncio.create_task(http.post("/stakes", json=body)) for _ in range(ACTS)]
        await waiting(net)
        async with asyncio.timeout(WAIT_S):
            await settled(net)
        assert not any(act.done() for act in acts)
    assert {(await act).status_code for act in acts} == {201}
    assert (await http.get("/staking")).json()["staked"] == ACTS * HYPER
    await net.adds_up()


async def test_one_project_does_not_keep_others_waiting(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await net.admin.deposit("other", HYPER)
    body = {"amount": HYPER, "days": 30}
    async with held(net):
        acts = [asyncio.create_task(http.post("/stakes", json=body)) for _ in range(limits.ACTS_PER_PROJECT + 1)]
        (refused,), waits = await asyncio.wait(acts, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        problem(await refused, 429, "server.overloaded")
        theirs = asyncio.create_task(other.post("/stakes", json=body))
        assert not any(act.done() for act in waits)
    assert {(await act).status_code for act in [*waits, theirs]} == {201}


async def test_an_act_that_loses_its_connection_is_done_once(net: Network, http: httpx.AsyncClient) -> None:
    body, key = {"amount": HYPER, "days": 30}, {"idempotency-key": "k"}
    async with held(net):
        act = asyncio.create_task(http.post("/stakes", json=body, headers=key))
        await net.pool.execute("select pg_terminate_backend($1)", await waiting(net))
    answer = await act
    assert answer.status_code == 201, answer.text
    assert (await http.post("/stakes", json=body, headers=key)).text == answer.text
    assert (await http.get("/account")).json()["available"] == FUNDS - HYPER
    await net.adds_up()


async def test_two_coordinators_act_while_jobs_settle(net: Network, http: httpx.AsyncClient, database: str) -> None:
    mine = await project_id(net)
    async with second_room(net, database) as other_room:
        rooms = [net.services.governance, other_room]
        first = UUID((await rooms[0].stakes.open(mine, 10 * HYPER, 30)).id)

        async def acting(room: Governance) -> None:
            for number in range(10):
                opened = await room.stakes.open(mine, HYPER + number, 14 + number)
                await room.stakes.add(mine, first, 7)
                await room.supply.burn(mine, 3, f"{number}")
                with suppress(NothingToClaim):  # the other one claimed what there was
                    await room.stakes.claim(mine, first)
                await room.stakes.unstake(mine, UUID(opened.id))

        async def settling() -> None:
            for number in range(10):
                await settled(net, 1_000 + number)

        await asyncio.gather(*map(acting, rooms), settling())
        await rooms[0].stakes.distribute()
        summary = (await http.get("/staking")).json()
        sums = "select sum(amount)::bigint, sum(claimed)::bigint, sum(weight)::bigint from stake"
        stakes: Any = await net.pool.fetchrow(sums)
    assert (summary["staked"], summary["paid"], summary["weight"]) == tuple(stakes)
    assert summary["waiting"] == 0 and summary["distributed"] == summary["paid"] + summary["held"] > 0
    fees = await net.pool.fetchval("select sum(amount)::bigint from transfer where cause = 'fee_stakers'")
    assert summary["distributed"] == fees
    assert (await http.get("/burns")).json()["items"][0]["cumulative"] == 2 * 10 * 3
    await net.adds_up()


async def test_what_governance_holds_cannot_differ_from_the_ledger(net: Network, http: httpx.AsyncClient) -> None:
    assert (await http.post("/stakes", json={"amount": HYPER, "days": 30})).status_code == 201
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="differ about staked"):
        await net.pool.execute("update governance set staked = staked + 1")


async def test_jobs_go_on_where_governance_and_ledger_differ(
    net: Network, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await net.admin.begin_vesting()
    for statement in (
        "alter table governance disable trigger governance_adds_up",
        "update governance set staked = staked + 1",
        "alter table governance enable trigger governance_adds_up",
    ):
        await net.pool.execute(statement)
    await net.services.governance.keep()
    assert "unlock cannot be brought further: governance and ledger differ about staked" in caplog.text
    problem(await http.post("/stakes", json={"amount": HYPER, "days": 30}), 500, "server.error")
    await settled(net)
    assert (await http.get("/burns")).json()["items"] == []
    await net.adds_up()
