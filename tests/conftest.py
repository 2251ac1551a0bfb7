"""Fixtures for tests against a real PostgreSQL: one server a session, a fresh database a test.

HYPERNODE_TEST_DSN names a server to use instead of the embedded one; its user must be a superuser, who may create
databases, and put tables back that triggers protect.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from hypernode.db import migrate
from hypernode.db.embedded import EmbeddedPostgres
from hypernode.db.pool import Pool, create_pool, with_database

pytest_plugins = ("registries", "engines")

# What a shell starts in the background ignores Ctrl-C, and so does what that starts in turn: tests that interrupt a
# command would wait forever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration, what needs root or Linux and hasn't got it has failed: there nothing is left out."""
    report = yield
    if os.environ.get("CI") and report.skipped and "root" in str(report.longrepr):
        report.outcome = "failed"
    return report


# A crash of the machine loses a test server's data, and nothing else: a crash of its processes does not.
FAST = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A server for the session; tests take `database` rather than work in this one."""
    given = os.environ.get("HYPERNODE_TEST_DSN")
    if given:
        yield given
        return
    # Not below pytest's own temporary folder: every pytest that starts closes that one to other accounts again, and
    # under root PostgreSQL runs as one.
    folder = Path(tempfile.mkdtemp(prefix="hypernode-test-"))
    try:
        server = EmbeddedPostgres(folder / "postgres", settings=FAST)
        asyncio.run(server.start())
        try:
            yield server.dsn
        finally:
            asyncio.run(server.stop())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_dsn: str) -> Iterator[str]:
    """The name of a database with the present schema, to be copied."""
    name = f"template_{uuid4().hex}"
    asyncio.run(_execute(postgres_dsn, f"CREATE DATABASE {name}"))
    try:
        asyncio.run(migrate.upgrade(with_database(postgres_dsn, name)))
        yield name
    finally:
        asyncio.run(_execute(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def temporary_database(postgres_dsn: str, template: str) -> Iterator[str]:
    """The DSN of a copy of the template, for as long as the block lasts."""
    name = f"test_{uuid4().hex}"
    # Copying files is three times as fast as writing a log of the copy, which is the default.
    copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
    asyncio.run(_execute(postgres_dsn, copy))
    try:
        yield with_database(postgres_dsn, name)
    finally:
        asyncio.run(_execute(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """The DSN of a fresh database with the present schema."""
    with temporary_database(postgres_dsn, migrated_template) as dsn:
        yield dsn


@pytest.fixture
def empty_database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of a fresh database without any table."""
    name = f"empty_{uuid4().hex}"
    asyncio.run(_execute(postgres_dsn, f"CREATE DATABASE {name}"))
    try:
        yield with_database(postgres_dsn, name)
    finally:
        asyncio.run(_execute(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of connections to a fresh database."""
    pool = await create_pool(database, min_size=1)
    try:
        yield pool
    finally:
        pool.terminate()  # a failing test may have left a connection in use, for which close() would wait


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
