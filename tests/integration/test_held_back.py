"""While somebody's old transaction keeps vacuum away, nothing reads all that was: counted in blocks, not in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from fakes.network import Network, job
from fakes.node import CAPABILITIES
from hypernode.db.pool import Connection, Pool
from hypernode.jobs.model import JobDocument, PythonRuntime
from hypernode.jobs.service import lines
from hypernode.jobs.service.lines import COMMIT_S, Lines
from hypernode.jobs.store import queries as job_queries
from hypernode.kernel import limits
from hypernode.kernel.ids import uuid7
from hypernode.ledger.model import Cause, Transfer
from hypernode.ledger.store import insert_transfers, lock_available
from hypernode.nodes.store import queries as node_queries
from hypernode.tenancy.service import Tenancy

FEW = 60
"""Blocks that a look-up of a few rows may read, of tables that have grown to many hundreds."""
ONE_SLOT = msgspec.structs.replace(CAPABILITIES, slots=1)
TAKE = "delete from queue where id = any($1::bigint[])"
TURN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def held(database: str) -> AsyncIterator[None]:
    """Somebody has begun a transaction that sees everything as it was, and has gone away."""
    idler = await asyncpg.connect(database)
    await idler.execute("begin isolation level repeatable read")
    await idler.fetchval("select count(*) from node")
    yield
    idler.terminate()


@asynccontextmanager
async def reads_few(connection: Connection, *tables: str) -> AsyncIterator[None]:
    """Of these tables and their indexes hardly any block is read within, from memory or not."""
    counted = (
        "select sum(pg_stat_get_xact_blocks_fetched(oid)) from (select unnest($1::text[])::regclass::oid as oid "
        "union all select indexrelid from pg_index where indrelid = any($1::text[]::regclass[])) relation"
    )
    async with connection.transaction():  # what is counted of one transaction is all there when it is asked
        before = await connection.fetchval(counted, tables)
        yield
        assert await connection.fetchval(counted, tables) - before < FEW


async def test_balances_are_found_however_often_they_changed(pool: Pool, held: None) -> None:
    project = await Tenancy(pool).create_project("client")
    accounts = {row["kind"]: row["id"] for row in await pool.fetch("select id, kind from account_name")}
    move = Transfer(accounts["issuance"], accounts["available"], 1, Cause.DEPOSIT)
    async with pool.acquire() as connection:
        for _ in range(8_000):
            await insert_transfers(connection, [move])
        await connection.execute("analyze account")
        async with reads_few(connection, "account"):
            available, _ = await lock_available(connection, [project])
            await insert_transfers(connection, [move])
    assert available == {project: 8_000}
    summary = await pool.fetchrow("select sum(balance) as total, count(*) as accounts from account")
    assert (summary["total"], summary["accounts"]) == (0, len(accounts))


async def test_who_waits_for_a_balance_sees_what_became_of_it(pool: Pool) -> None:
    project = await Tenancy(pool).create_project("client")
    accounts = {row["kind"]: row["id"] for row in await pool.fetch("select id, kind from account_name")}
    move = Transfer(accounts["issuance"], accounts["available"], 7, Cause.DEPOSIT)
    async with pool.acquire() as first, pool.acquire() as second:
        async with first.transaction():
            for _ in range(2):
                await insert_transfers(first, [move])
            waiting = asyncio.create_task(lock_available(second, [project]))
            async with asyncio.timeout(30):
                while not await first.fetchval("select pg_blocking_pids($1) <> '{}'", second.get_server_pid()):
                    await asyncio.sleep(0)
        assert (await waiting)[0] == {project: 14}


async def test_earnings_are_found_however_often_they_grew(pool: Pool, held: None) -> None:
    project = await Tenancy(pool).create_project("operators")
    nodes = ["a", "b", "c"]
    for node in nodes:
        await pool.execute(node_queries.insert_node, node, project, node)
    async with pool.acquire() as connection:
        for _ in range(6_000):
            await connection.execute(job_queries.pay_nodes, nodes[:2], [1, 2])
        await connection.execute("analyze earning")
        async with reads_few(connection, "earning", "node"):
            await connection.execute(job_queries.pay_nodes, nodes, [1, 2, 3])
    rows = await pool.fetch(node_queries.list_nodes, None, "", None, 10)
    assert [row["earned"] for row in rows] == [6_001, 12_002, 3]
    assert await pool.fetchval("select count(*) from earning") == 3


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def put(connection: Connection | Pool, project: UUID, turns: list[int]) -> list[int]:
    """Queue work of a project, by its turns in seconds; returns the rows."""
    at = [TURN + timedelta(seconds=turn) for turn in turns]
    rows = await connection.fetch(
        "insert into queue (job_id, first, beyond, shape, remaining_cap, project_id, turn_at) "
        "select $1, 0, 1, 0, 0, $2, turn from unnest($3::timestamptz[]) turn returning id",
        uuid7(),
        project,
        at,
    )
    return [row["id"] for row in rows]


async def turns(looking: Lines, limit: int = 100) -> list[int]:
    """What a look finds, by turn."""
    return [round(row["rank"] - TURN.timestamp()) for row in await looking.look([], limit)]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which `Lines` counts."""
    at = [1000.0]
    monkeypatch.setattr(lines, "time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


async def test_a_look_does_not_read_what_was_taken(pool: Pool, held: None, now: list[float]) -> None:
    project = await Tenancy(pool).create_project("client")
    async with pool.acquire() as connection:
        looking = Lines(connection)  # asks in the transaction whose blocks are counted
        (only,) = await put(connection, project, [0])
        await connection.execute("analyze queue")
        for _ in range(10):  # the plan that will be kept is made for next to nothing
            assert await turns(looking, 2) == [0]
        await connection.execute(TAKE, [only])
        rows = await put(connection, project, list(range(30_000)))
        for start in range(0, 29_000, 1_000):
            assert await turns(looking, 2) == [start, start + 1]
            taken = rows[start : start + 1_000]
            await connection.execute(TAKE, taken)
            now[0] += 2 * COMMIT_S
        assert await turns(looking, 2) == [29_000, 29_001]
        await connection.execute("analyze queue")
        async with reads_few(connection, "queue"):
            assert await turns(looking, 2) == [29_000, 29_001]


async def test_a_look_finds_what_comes_before_the_front(pool: Pool, now: list[float]) -> None:
    client, other = [await Tenancy(pool).create_project(name) for name in ("client", "other")]
    rows = await put(pool, client, [10, 20, 30])
    looking = Lines(pool)
    assert await turns(looking) == [10, 20, 30]
    await pool.execute(TAKE, rows[:2])
    assert await turns(looking) == [30]
    await put(pool, client, [5])  # a priority, or a task that is tried again
    assert await turns(looking) == [5, 30]
    await put(pool, other, [1])  # somebody who had nothing in the queue
    assert sorted(await turns(looking)) == [1, 5, 30]
    await pool.execute("delete from queue")
    assert await turns(looking) == []
    await put(pool, client, [7])
    assert await turns(looking) == [7]
    assert now == [1000.0]  # nothing of this needed a look at all lines


async def test_a_look_finds_what_is_committed_late(pool: Pool, now: list[float]) -> None:
    client = await Tenancy(pool).create_project("client")
    await put(pool, client, [10])
    looking = Lines(pool)
    assert await turns(looking) == [10]
    for late, patience in ((5, COMMIT_S * 0.9), (4, limits.POLL_S)):  # found by its id; found with all lines
        async with pool.acquire() as slow:
            opened = slow.transaction()
            await opened.start()
            await put(slow, client, [late])
            for turn in (11, 12):  # others overtake it
                await put(pool, client, [turn])
                assert late not in await turns(looking)
                now[0] += patience / 2
            await opened.commit()
        assert (await turns(looking))[0] == late


async def test_a_look_at_all_lines_is_taken_less_often_while_it_takes_long(pool: Pool, now: list[float]) -> None:
    client = await Tenancy(pool).create_project("client")
    await put(pool, client, [10])
    asked: list[str] = []

    class Slow:
        async def fetch(self, query: str, *arguments: Any) -> list[Any]:
            name = "all" if query == job_queries.find_lines else "front"
            asked.append(name)
            now[0] += 1.0 if name == "all" else 0.0
            rows: list[Any] = await pool.fetch(query, *arguments)
            return rows

    looking = Lines(Slow())
    for _ in range(60):
        assert await turns(looking) == [10]
        now[0] += 1.0
    assert asked.count("all") == 2 and asked.count("front") == 60


# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_lapsed_node_held_is_found_from_the_node(net: Network) -> None:
    lost, good = [await net.node(name, capabilities=ONE_SLOT) for name in ("lost", "good")]
    assert (await net.http().post("/jobs", json=job(array={"size": 2}))).status_code == 201
    leases = {(await net.start(node)).lease.task: node for node in (lost, good)}
    attempts = net.services.attempts
    assert await attempts.lapsed(60) == []
    await net.pool.execute(
        "update node_life set alive_until = clock_timestamp() - interval '1 second' where node = $1", lost.key.public
    )
    found = await attempts.lapsed(60)
    assert [(loss.node, loss.cause, leases[loss.ref.task]) for loss in found] == [
        (lost.key.public, "lease.expired", lost)
    ]
    assert await attempts.lapsed(0.5) == []


async def test_those_who_ask_for_a_price_together_look_at_the_nodes_once(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    await net.node()
    market, nodes = net.services.market, net.services.nodes
    looks: list[int] = []
    alive = nodes.alive

    async def counted(limit: int = 10_000) -> Any:
        looks.append(limit)
        return await alive(limit)

    monkeypatch.setattr(nodes, "alive", counted)
    document = JobDocument(version=1, runtime=PythonRuntime(code="pass"), cap=1_000_000, timeout_s=60)
    prices = await asyncio.gather(*(market.cheapest(document) for _ in range(5)))
    assert len(set(prices)) == 1 and prices[0] is not None
    assert len(looks) == 1
