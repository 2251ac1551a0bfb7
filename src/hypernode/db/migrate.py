"""Schema versions: Alembic for their order, plain SQL files for their content.

Migrations only go forward. Each is a Python file naming its predecessor, beside a `.sql` file with the statements, and
runs in one transaction together with the note that it ran.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from hypernode.kernel.errors import InvariantViolated, Unavailable

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_WAIT_S: Final = 300
_LOCK_KEY: Final = 0x6879706572  # "hyper"; any constant that nobody else takes


async def upgrade(dsn: str, revision: str = "head", *, versions: Path | None = None) -> None:
    """Brings the database at `dsn` to `revision`; does nothing if it is there.

    Any number of coordinators may call this at once: an advisory lock lets one go first and the others find it done.
    (It decides nothing but order: each version is applied in a transaction that fails if it was applied already.)
    `versions` is a folder to use instead of the package's own. Raises `Unavailable` if the database cannot be
    reached or the lock isn't free within LOCK_WAIT_S; a failing statement's own error otherwise, with that version
    not applied at all.
    """
    try:
        guard = await asyncpg.connect(dsn, timeout=30, server_settings={"lock_timeout": f"{LOCK_WAIT_S}s"})
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Unavailable(f"cannot connect to the database: {error}") from error
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        await _with_connection(dsn, lambda connection: command.upgrade(_config(versions, connection), revision))
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable("another process has been migrating the database for minutes") from error
    finally:
        await guard.close()


async def current(dsn: str) -> str | None:
    """The revision the database is at; None for an empty one."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    else:
        return revision
    finally:
        await connection.close()


def head(*, versions: Path | None = None) -> str | None:
    """The newest revision this program knows."""
    return ScriptDirectory.from_config(_config(versions, None)).get_current_head()


def run_script(op: Any, name: str) -> None:
    """Executes the SQL file `name`, which lies beside the migration that calls this, in the migration's transaction.

    The whole text goes to the server at once through PostgreSQL's simple protocol, so that function bodies and any
    other quoting need no splitting here. A script must not commit. `op` is `alembic.op`.
    """
    caller = inspect.stack(context=0)[1].filename
    text = Path(caller).with_name(name).read_text(encoding="utf-8")
    bind = op.get_bind()
    bind.exec_driver_sql("SELECT 1")  # SQLAlchemy opens its transaction with its first statement
    driver = bind.connection.driver_connection
    if not driver.is_in_transaction():
        raise InvariantViolated(f"{name} would run outside of a transaction")
    await_only(driver.execute(text))


async def _with_connection(dsn: str, work: Callable[[Connection], None]) -> None:
    """Runs synchronous `work` on an SQLAlchemy connection, opened by asyncpg so that every DSN means the same."""

    async def connect() -> Any:
        # Migrations may take as long as they need; a lock they wait for must not queue up all other work behind them.
        settings = {
            "timezone": "UTC",
            "statement_timeout": "0",
            "lock_timeout": "30s",
            "client_min_messages": "warning",
        }
        return await asyncpg.connect(
            dsn, timeout=30, server_settings={**settings, "application_name": "hypernode migrate"}
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(work)
    finally:
        await asyncio.shield(engine.dispose())


def _config(versions: Path | None, connection: Connection | None) -> Config:
    config = Config()
    # Alembic's options expand %-signs, which a path may hold.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions or MIGRATIONS / "versions").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
