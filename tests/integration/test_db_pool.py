"""The pool's codecs, its transactions and what it tries again."""

import asyncio
import uuid

import asyncpg
import msgspec
import pytest

from hypernode.db.pool import (
    CommitUnknown,
    create_pool,
    is_ready,
    run_statement,
    run_transaction,
    transaction,
    with_database,
)
from hypernode.kernel.errors import Unavailable

SLOW_TO_COMMIT = """
CREATE TABLE slow (n int);
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER sleep AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION sleep();
"""


class Point(msgspec.Struct):
    x: int


@pytest.fixture
async def table(pool):
    await pool.execute("CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL)")
    await pool.execute("INSERT INTO counter VALUES (1, 0), (2, 0)")
    return pool


async def pair(kill: asyncpg.Connection, victim: asyncpg.Connection) -> None:
    await kill.execute("SELECT pg_terminate_backend($1, 5000)", victim.get_server_pid())


async def test_json_goes_in_as_value_or_bytes_and_comes_out_decoded(pool):
    for kind in ("json", "jsonb"):
        for value, expected in [
            ({"µ": [1, None, "x"]}, {"µ": [1, None, "x"]}),
            (Point(3), {"x": 3}),
            (b'{"a":1}', {"a": 1}),
            (msgspec.Raw(b"[2]"), [2]),
            ("text", "text"),
            (None, None),
        ]:
            assert await pool.fetchval(f"SELECT $1::{kind}", value) == expected
    assert await pool.fetchval("SELECT $1::jsonb[]", [{"a": 1}, b"[]"]) == [{"a": 1}, []]
    key = uuid.uuid4()
    assert await pool.fetchval("SELECT $1::uuid", key) == key


async def test_sessions_have_utc_a_name_and_a_statement_timeout(database):
    pool = await create_pool(database, min_size=1, application_name="here", statement_timeout_s=0.2)
    try:
        row = await pool.fetchrow("SELECT current_setting('timezone') zone, current_setting('application_name') name")
        assert tuple(row) == ("UTC", "here")
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(5)")
    finally:
        await pool.close()


async def test_transaction_commits_or_rolls_back(table):
    async with transaction(table) as connection:
        await connection.execute("UPDATE counter SET n = 1 WHERE id = 1")

    async def fail() -> None:
        async with transaction(table) as connection:
            await connection.execute("UPDATE counter SET n = 2 WHERE id = 1")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await table.fetchval("SELECT n FROM counter WHERE id = 1") == 1


async def test_serialization_failures_are_tried_again_until_all_are_in(table):
    async def increment(connection):
        n = await connection.fetchval("SELECT n FROM counter WHERE id = 1")
        await asyncio.sleep(0)
        await connection.execute("UPDATE counter SET n = $1 WHERE id = 1", n + 1)

    await asyncio.gather(*[run_transaction(table, increment, isolation="serializable", attempts=40) for _ in range(6)])
    assert await table.fetchval("SELECT n FROM counter WHERE id = 1") == 6


async def test_deadlock_is_tried_again(table):
    both = asyncio.Barrier(2)
    tries = 0

    async def cross(connection, first, second):
        nonlocal tries
        tries += 1
        await connection.execute("UPDATE counter SET n = n + 1 WHERE id = $1", first)
        if tries <= 2:
            await both.wait()
        await connection.execute("UPDATE counter SET n = n + 1 WHERE id = $1", second)

    await asyncio.gather(
        run_transaction(table, lambda c: cross(c, 1, 2)), run_transaction(table, lambda c: cross(c, 2, 1))
    )
    assert tries == 3
    assert await table.fetchval("SELECT array_agg(n) FROM counter") == [2, 2]


async def test_connection_lost_before_commit_is_tried_again(table):
    tries = 0

    async def work(connection):
        nonlocal tries
        tries += 1
        await connection.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        if tries == 1:
            await pair(table, connection)
            await connection.execute("SELECT 1")
        return tries

    assert await run_transaction(table, work) == 2
    assert await table.fetchval("SELECT n FROM counter WHERE id = 1") == 1


async def test_a_statement_by_itself_is_tried_again_when_it_is_deadlocked(table):
    both = (
        "UPDATE counter SET n = n + 1 FROM (SELECT id FROM counter ORDER BY id FOR UPDATE) held "
        "WHERE counter.id = held.id RETURNING n"
    )
    async with table.acquire() as other, other.transaction():
        await other.execute("UPDATE counter SET n = n + 10 WHERE id = 2")
        waiting = asyncio.create_task(run_statement(table, both))
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        await other.execute("UPDATE counter SET n = n + 10 WHERE id = 1")  # what began to wait first must give way
    assert sorted(row["n"] for row in await waiting) == [11, 11]


async def test_a_statement_whose_connection_is_lost_may_be_committed(table):
    running = asyncio.create_task(run_statement(table, "SELECT pg_sleep(30)"))
    victim = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"
    while (pid := await table.fetchval(victim)) is None:
        await asyncio.sleep(0.01)
    await table.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    with pytest.raises(CommitUnknown):
        await running


async def test_a_server_that_does_not_answer_in_time_may_have_committed(database):
    async with asyncpg.create_pool(database, min_size=1, command_timeout=0.1) as pool:
        with pytest.raises(CommitUnknown):
            await run_statement(pool, "SELECT pg_sleep(30)")

        async def work(connection):
            await connection.execute(SLOW_TO_COMMIT)
            await connection.execute("INSERT INTO slow VALUES (1)", timeout=30)

        with pytest.raises(CommitUnknown):
            await run_transaction(pool, work)


@pytest.mark.parametrize("idempotent", [False, True])
async def test_connection_lost_at_commit_is_unknown_unless_idempotent(table, idempotent):
    tries = 0

    async def work(connection):
        nonlocal tries
        tries += 1
        await connection.execute("UPDATE counter SET n = 1 WHERE id = 1")
        if tries == 1:
            await pair(table, connection)

    if idempotent:
        await run_transaction(table, work, idempotent=True)
        assert tries == 2
    else:
        with pytest.raises(CommitUnknown):
            await run_transaction(table, work)
        assert tries == 1


async def test_attempts_are_bounded_and_other_errors_are_not_tried_again(table):
    tries = 0

    async def conflict(connection):
        nonlocal tries
        tries += 1
        raise asyncpg.SerializationError("made up")

    with pytest.raises(Unavailable):
        await run_transaction(table, conflict, attempts=3)
    assert tries == 3

    async def wrong(connection):
        nonlocal tries
        tries += 1
        await connection.execute("INSERT INTO counter VALUES (1, 0)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await run_transaction(table, wrong)
    assert tries == 4


async def test_released_connection_has_no_open_transaction(table):
    pool = table
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("UPDATE counter SET n = 9 WHERE id = 1")
    assert await pool.fetchval("SELECT n FROM counter WHERE id = 1") == 0


async def test_readiness_and_unreachable_databases(pool, database):
    assert await is_ready(pool)
    pool.terminate()
    assert not await is_ready(pool)
    with pytest.raises(Unavailable):
        await create_pool("postgresql://postgres@127.0.0.1:1/none", min_size=1)
    with pytest.raises(Unavailable):
        await create_pool(with_database(database, "no_such_database"), min_size=1)
