"""Connections to PostgreSQL: the pool, transactions, and the one place that knows which failures may be retried."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec

from hypernode.kernel.errors import Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

Pool: TypeAlias = "asyncpg.Pool"
Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

STATEMENT_TIMEOUT_S: Final = 30.0
ATTEMPTS: Final = 6
BACKOFF_S: Final = 0.01
BACKOFF_MAX_S: Final = 1.0

CONFLICTS: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
"""Errors of a transaction that lost against another; it wrote nothing, and the same again may succeed."""

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # "connection is closed", also "another operation is in progress": see is_lost
    asyncpg.InternalClientError,  # the server's farewell came between two statements: see is_lost
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    OSError,
)
"""Errors of a connection that broke or could not be made."""


UNHEARD: Final = (*LOST, TimeoutError)
"""Errors that come instead of the server's answer, if `is_lost` says so of the former."""


class CommitUnknown(Unavailable):
    """The server was not heard from while committing; whether the transaction was written is unknown."""


AWAY: Final = (Unavailable, TimeoutError, asyncpg.QueryCanceledError, *LOST)
"""Errors of a database that does not answer just now, if `is_away` says so too."""


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg's classes are untyped
    """A connection which is returned to the pool without a round trip.

    asyncpg resets a session's state at each release (RESET ALL, UNLISTEN, …). Pooled connections here never carry
    any: settings change with SET LOCAL only, and LISTEN has a connection of its own. Open transactions are still
    rolled back.
    """

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


def _encode_json(value: Any) -> bytes:
    # Bytes are JSON already (a canonical document); encoding them again would make a base64 string of them.
    return bytes(value) if isinstance(value, bytes | bytearray | msgspec.Raw) else msgspec.json.encode(value)


async def prepare_connection(connection: Connection) -> None:
    """Sets the codecs: JSON goes in as any value msgspec can encode, or as ready bytes, and comes out decoded."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + _encode_json(value),  # jsonb's wire format begins with a version byte
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=_encode_json, decoder=msgspec.json.decode
    )


async def create_pool(
    dsn: str,
    *,
    min_size: int = 2,
    max_size: int = 10,
    application_name: str = "hypernode",
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
) -> Pool:
    """A pool of connections to `dsn`, at least `min_size` of them made and working.

    Every statement ends after `statement_timeout_s` by the server's clock. Raises `Unavailable` if the database
    cannot be reached.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            connection_class=_Connection,
            init=prepare_connection,
            # Statements are files, so there are few of them: prepare each once for the life of a connection.
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            max_inactive_connection_lifetime=0,
            timeout=10,
            # Longer than the server's limit, which is the one meant; this one only ends waits for a dead server.
            command_timeout=statement_timeout_s + 5,
            server_settings={
                "application_name": application_name,
                "timezone": "UTC",
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "60000",
                "jit": "off",
                # Plans are kept, also those made while a table was new and small enough to be read as a whole; it won't
                # be for long, and every row these statements want has a key.
                "enable_seqscan": "off",
                # Nor can one that reads all versions of a row that changes all the time, where the first would do:
                # statistics count the one that lives, and that looks like nothing to go through.
                "enable_bitmapscan": "off",
            },
        )
    except (*LOST, TimeoutError, asyncpg.PostgresError) as error:
        raise Unavailable(f"cannot connect to the database: {error}") from error
    return pool


@asynccontextmanager
async def transaction(
    pool: Pool, *, isolation: Literal["read_committed", "repeatable_read", "serializable"] | None = None
) -> AsyncIterator[Connection]:
    """A connection with an open transaction: committed at the end of the block, rolled back if it raises."""
    async with pool.acquire() as connection, connection.transaction(isolation=isolation):
        yield connection


async def run_transaction(
    pool: Pool,
    work: Callable[[Connection], Awaitable[T]],
    *,
    isolation: Literal["read_committed", "repeatable_read", "serializable"] | None = None,
    idempotent: bool = False,
    attempts: int = ATTEMPTS,
    chance: Callable[[], float] = random.random,
) -> T:
    """Runs `work` in a transaction of its own and returns what it returned once that is committed.

    Conflicts (serialization, deadlock) and lost connections are tried again, `attempts` times in all, with jittered
    backoff; `work` must therefore touch nothing but the database. A connection lost during the commit leaves open
    whether it happened: then `CommitUnknown` is raised, unless `idempotent` says that running `work` again is safe
    (its writes are conditional on keys of their own). Raises `Unavailable` when the attempts are used up, and
    whatever `work` raises besides.
    """
    return await _persist(lambda: _attempt(pool, work, isolation), idempotent, attempts, chance)


async def run_statement(pool: Pool, query: str, *args: Any) -> list[Any]:
    """The rows of one statement that is a transaction of its own: beginning and end take no ways to the database.

    Tried again as by `run_transaction`, with the same errors; a connection that is lost meanwhile, or a server that
    does not answer in time, leaves open whether it was committed, and is a CommitUnknown.
    """
    return await _persist(lambda: _attempt_statement(pool, query, args), False, ATTEMPTS, random.random)


async def _persist(once: Callable[[], Awaitable[T]], idempotent: bool, attempts: int, chance: Callable[[], float]) -> T:
    for attempt in range(1, attempts + 1):
        try:
            return await once()
        except CommitUnknown as error:
            if not idempotent:
                raise
            failure: Exception = error
        except CONFLICTS as error:
            failure = error
        except LOST as error:
            if not is_lost(error):
                raise
            failure = error
        if attempt == attempts:
            raise Unavailable(
                f"the database did not take the transaction in {attempts} attempts: {failure}"
            ) from failure
        log.warning("transaction attempt %d of %d failed: %r", attempt, attempts, failure)
        await asyncio.sleep(min(BACKOFF_MAX_S, BACKOFF_S * 4 ** (attempt - 1)) * (0.5 + chance()))
    raise AssertionError("unreachable")


async def _attempt(pool: Pool, work: Callable[[Connection], Awaitable[T]], isolation: str | None) -> T:
    async with pool.acquire() as connection:
        block = connection.transaction(isolation=isolation)
        await block.start()
        try:
            result = await work(connection)
        except BaseException:
            with suppress(*LOST):  # what matters is the error of `work`; a lost connection rolls back by itself
                await block.rollback()
            raise
        try:
            await block.commit()
        except UNHEARD as error:
            raise CommitUnknown(str(error)) from error
        return result


async def _attempt_statement(pool: Pool, query: str, args: Sequence[Any]) -> list[Any]:
    async with pool.acquire() as connection:
        try:
            rows: list[Any] = await connection.fetch(query, *args)
        except UNHEARD as error:
            if not (isinstance(error, TimeoutError) or is_lost(error)):
                raise
            raise CommitUnknown(str(error)) from error
        return rows


def is_lost(error: BaseException) -> bool:
    """Whether `error` means a broken connection, or a server that takes none: asyncpg uses InterfaceError and
    InternalClientError for misuse as well.

    A pool takes a connection that broke back at once; inside a transaction that is what "released" means. A
    connection on which a dying server has just said goodbye, and whose end has not arrived yet, is in the state of
    consuming an error (2) or has failed, which asyncpg reports as another operation.
    """
    if isinstance(error, asyncpg.InterfaceError):
        words: tuple[str, ...] = ("is closed", "is closing", "was closed", "released back to the pool")
    elif isinstance(error, asyncpg.InternalClientError):
        words = ("another operation (2) is in progress", 'protocol is in the "failed" state', "not connected")
    else:
        return isinstance(error, LOST)
    return any(word in str(error) for word in words)


def is_away(error: BaseException) -> bool:
    """Whether `error` means that the database does not answer just now: a loop may go on and try again later."""
    return is_lost(error) or isinstance(error, Unavailable | TimeoutError | asyncpg.QueryCanceledError)


async def is_ready(pool: Pool, *, timeout_s: float = 1.0) -> bool:
    """Whether the database answers within `timeout_s`, a free connection included."""
    try:
        async with asyncio.timeout(timeout_s):
            return bool(await pool.fetchval("SELECT true"))
    except (*LOST, TimeoutError, asyncpg.PostgresError):
        return False


def with_database(dsn: str, name: str) -> str:
    """`dsn` with another database's name."""
    parts = urlsplit(dsn)
    # urlunsplit drops the slashes of an empty authority, which a socket's DSN may have.
    return urlunsplit((parts.scheme, parts.netloc or "postgres@", f"/{name}", parts.query, ""))
