"""Several statements as one: what arrives, what is undone, and that it is one way to the database."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from hypernode.db.bulk import COPY_ROWS, insert_rows, together

INSERT_A = "-- A comment with $9 in it.\ninsert into a (x, y) select * from unnest($1::int[], $2::text[])"
INSERT_B = "insert into b (x) select * from unnest($1::int[])"
UPDATE_C = "update c set n = n + $2::int where id = $1::int"


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as connection:
        await connection.execute("create table a (x int primary key, y text); create table b (x int check (x > 0))")
        await connection.execute("create table c (id int, n int); insert into c values (1, 10), (2, 20)")
        yield connection


async def test_each_statement_gets_its_own_arguments_by_one_way(connection):
    sent: list[Any] = []
    async with together(connection) as writes:
        connection.add_query_logger(sent.append)
        await insert_rows(writes, "a", ("x", "y"), INSERT_A, [(1, "one"), (2, "two")])
        await insert_rows(writes, "b", ("x",), INSERT_B, [(7,)])
        await insert_rows(writes, "b", ("x",), INSERT_B, [])
        await writes.execute(UPDATE_C, 2, 5)
        assert sent == []
    assert [tuple(row) for row in await connection.fetch("select * from a order by x")] == [(1, "one"), (2, "two")]
    assert await connection.fetchval("select array_agg(x) from b") == [7]
    assert await connection.fetchval("select array_agg(n order by id) from c") == [10, 25]
    assert [one.query.startswith("with part_0") for one in sent if "insert into" in one.query] == [True]


async def test_what_the_last_returns_is_given_back(connection):
    async with together(connection) as writes:
        await insert_rows(writes, "a", ("x", "y"), INSERT_A, [(1, "one")])
        await insert_rows(writes, "b", ("x",), f"{INSERT_B} returning x * 2 as twice", [(7,), (8,)])
    assert [row["twice"] for row in writes.rows] == [14, 16]
    async with together(connection) as writes:
        await insert_rows(writes, "b", ("x",), f"{INSERT_B} returning x", [(9,)])
        await insert_rows(writes, "a", ("x", "y"), INSERT_A, [(2, "two")])
    assert writes.rows == []


async def test_nothing_remains_if_one_of_them_fails(connection):
    async def both():
        async with together(connection) as writes:
            await insert_rows(writes, "a", ("x", "y"), INSERT_A, [(1, "one")])
            await insert_rows(writes, "b", ("x",), INSERT_B, [(0,)])

    with pytest.raises(asyncpg.CheckViolationError):
        await both()
    assert await connection.fetchval("select count(*) from a") == 0


async def test_nothing_is_sent_if_the_block_raises_or_collects_nothing(connection):
    async def begin():
        async with together(connection) as writes:
            await writes.execute(UPDATE_C, 1, 5)
            raise RuntimeError("on second thoughts")

    with pytest.raises(RuntimeError, match="on second thoughts"):
        await begin()
    async with together(connection):
        pass
    assert await connection.fetchval("select n from c where id = 1") == 10


async def test_one_alone_and_many_rows_go_as_they_are(connection):
    rows = [(number, str(number)) for number in range(COPY_ROWS)]
    async with together(connection) as writes:
        await insert_rows(writes, "a", ("x", "y"), INSERT_A, rows)
        assert await connection.fetchval("select count(*) from a") == COPY_ROWS  # by COPY, at once
        await writes.execute(UPDATE_C, 1, 1)
    assert await connection.fetchval("select n from c where id = 1") == 11
