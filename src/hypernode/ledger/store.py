"""The ledger's statements. No other room reads or writes its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql
from hypernode.ledger.model import Transfer

queries: Final = load_sql(__package__)

_INSERT: Final = queries.insert_transfers
_FIND_ACCOUNTS: Final = queries.find_accounts
_LOCK_AVAILABLE: Final = queries.lock_available


async def insert_transfers(connection: Connection, transfers: Sequence[Transfer]) -> None:
    """Move money. Raises asyncpg.CheckViolationError, writing nothing, if a balance would fall below zero."""
    if not transfers:
        return
    await connection.execute(
        _INSERT,
        [t.debit for t in transfers],
        [t.credit for t in transfers],
        [t.amount for t in transfers],
        [t.cause.value for t in transfers],
        [t.job_id for t in transfers],
        [t.task for t in transfers],
        [t.epoch for t in transfers],
    )


async def open_accounts(connection: Connection, project_id: UUID) -> None:
    """Make a project's accounts if it has none."""
    await connection.execute(queries.open_accounts, project_id)


async def find_accounts(connection: Connection, project_ids: Sequence[UUID]) -> list[Any]:
    """Ids and kinds of the accounts of some projects and of nobody's."""
    rows: list[Any] = await connection.fetch(_FIND_ACCOUNTS, list(project_ids))
    return rows


async def lock_available(connection: Connection, project_ids: Sequence[UUID]) -> dict[UUID, int]:
    """What some projects can spend, in µHYPER; nobody else can change it until the transaction ends."""
    rows = await connection.fetch(_LOCK_AVAILABLE, list(project_ids))
    return {row["project_id"]: row["balance"] for row in rows}
