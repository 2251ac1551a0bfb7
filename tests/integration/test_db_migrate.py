"""Migrations: applied once, whole or not at all, by however many coordinators start at the same moment."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from hypernode.db import migrate
from hypernode.db.pool import with_database
from hypernode.kernel.errors import Unavailable

VERSION = """
from alembic import op
from hypernode.db.migrate import run_script

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
    run_script(op, "{revision}.sql")
"""

FIRST = """
-- a comment; with a semicolon
CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text DEFAULT 'a;b');
CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO thing (text) VALUES ('x; $1 %s :name');
    RETURN NULL;
END
$$;
"""


def add(folder: Path, revision: str, down: str | None, sql: str) -> None:
    (folder / f"{revision}.py").write_text(VERSION.format(revision=revision, down=down))
    (folder / f"{revision}.sql").write_text(sql)


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_upgrade_applies_scripts_in_order_and_only_once(empty_database, tmp_path):
    assert await migrate.current(empty_database) is None
    add(tmp_path, "0001_first", None, FIRST)
    await migrate.upgrade(empty_database, versions=tmp_path)
    await migrate.upgrade(empty_database, versions=tmp_path)
    assert await migrate.current(empty_database) == migrate.head(versions=tmp_path) == "0001_first"
    add(tmp_path, "0002_second", "0001_first", "ALTER TABLE thing ADD COLUMN n int; CREATE TABLE other ()")
    await migrate.upgrade(empty_database, versions=tmp_path)
    assert await migrate.current(empty_database) == "0002_second"
    assert await tables(empty_database) == {"thing", "other", "alembic_version"}


async def test_failing_script_leaves_nothing_but_what_came_before_it(empty_database, tmp_path):
    add(tmp_path, "0001_first", None, FIRST)
    add(tmp_path, "0002_broken", "0001_first", "CREATE TABLE half (); SELECT 1/0; CREATE TABLE rest ()")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.upgrade(empty_database, versions=tmp_path)
    assert await migrate.current(empty_database) == "0001_first"
    assert await tables(empty_database) == {"thing", "alembic_version"}


async def test_many_at_once_collide_nowhere(empty_database, tmp_path):
    add(tmp_path, "0001_first", None, FIRST + "SELECT pg_sleep(0.2);")
    await asyncio.gather(*[migrate.upgrade(empty_database, versions=tmp_path) for _ in range(5)])
    assert await tables(empty_database) == {"thing", "alembic_version"}


async def test_unreachable_database_is_unavailable(empty_database):
    with pytest.raises(Unavailable):
        await migrate.upgrade(with_database(empty_database, "no_such_database"))


async def test_package_schema_applies_and_is_at_head(database):
    assert await migrate.current(database) == migrate.head()


async def test_money_and_earnings_move_to_where_they_are_now(empty_database):
    await migrate.upgrade(empty_database, "0006_governance")
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute(
            """insert into project (id, name) values (gen_random_uuid(), 'client');
               insert into account (kind, project_id)
                   select kind, id from project, unnest('{available,escrow}'::text[]) kind;
               insert into transfer (debit, credit, amount, cause)
                   select d.id, c.id, 70, 'deposit' from account d, account c
                   where d.kind = 'issuance' and c.kind = 'available';
               insert into node (key, project_id, name, earned) select key, id, key, earned
                   from project, (values ('paid', 5), ('new', 0)) node(key, earned)"""
        )
        before = await connection.fetch("select id, kind, project_id, balance from account order by id")
        await migrate.upgrade(empty_database)
        assert await connection.fetch("select id, kind, project_id, balance from account order by id") == before
        assert await connection.fetch("select id, kind, project_id from account_name order by id") == [
            (row["id"], row["kind"], row["project_id"]) for row in before
        ]
        assert await connection.fetch("select node, amount from earning") == [("paid", 5)]
        await connection.execute(
            """insert into project (id, name) values (gen_random_uuid(), 'next');
               insert into account (kind, project_id) select 'available', id from project where name = 'next';
               insert into transfer (debit, credit, amount, cause)
                   select d.id, c.id, 9, 'deposit' from account d, account c
                   where d.kind = 'issuance' and c.id = (select max(id) from account_name)"""
        )
        balances = await connection.fetch("select kind, balance from account where balance <> 0 order by id")
        assert balances == [("issuance", -79), ("available", 70), ("available", 9)]
    finally:
        await connection.close()


async def test_open_jobs_keep_the_shares_that_held_when_jobs_began_to_keep_them(empty_database):
    await migrate.upgrade(empty_database, "0007_newest_first")
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute(
            """insert into project (id, name) values (gen_random_uuid(), 'client');
               insert into document (content_id, data) values (sha256(''), '');
               insert into job (id, project_id, content_id, name, size, cap, held, turn_s)
                   select gen_random_uuid(), id, sha256(''), 'open', 1, 9, 9, 0 from project;
               update governance set parameters = '{"market.treasury_bps": 300, "market.stakers_bps": 0}'"""
        )
        await migrate.upgrade(empty_database)
        kept = await connection.fetch("select treasury_bps, incentive_bps, stakers_bps from job")
        assert kept == [(300, 400, 0)]
        with pytest.raises(asyncpg.CheckViolationError, match="operator_is_left_most"):
            await connection.execute("update job set treasury_bps = 1601")
        with pytest.raises(asyncpg.NotNullViolationError):
            await connection.execute(
                """insert into job (id, project_id, content_id, name, size, cap, held, turn_s)
                       select gen_random_uuid(), id, sha256(''), 'silent', 1, 9, 9, 0 from project"""
            )
    finally:
        await connection.close()
