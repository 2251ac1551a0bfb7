"""The ledger's statements. No other room reads or writes its tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from hypernode.db.bulk import Writer, insert_rows
from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql
from hypernode.ledger.model import Transfer

queries: Final = load_sql(__package__)

_COLUMNS: Final = ("debit", "credit", "amount", "cause", "job_id", "task", "epoch")
_FIND_ACCOUNTS: Final = queries.find_accounts
_LOCK_AVAILABLE: Final = queries.lock_available


async def insert_transfers(writer: Writer, transfers: Sequence[Transfer]) -> None:
    """Move money. Raises asyncpg.CheckViolationError, writing nothing, if a balance would fall below zero."""
    await insert_rows(
        writer,
        "transfer",
        _COLUMNS,
        queries.insert_transfers,
        [(t.debit, t.credit, t.amount, t.cause.value, t.job_id, t.task, t.epoch) for t in transfers],
    )


async def open_accounts(connection: Connection, project_id: UUID) -> None:
    """Make the accounts of a new project."""
    await connection.execute(queries.open_accounts, project_id)


async def find_accounts(connection: Connection, project_ids: Sequence[UUID]) -> list[Any]:
    """Ids and kinds of the accounts of some projects and of nobody's."""
    rows: list[Any] = await connection.fetch(_FIND_ACCOUNTS, list(project_ids))
    return rows


async def lock_available(connection: Connection, project_ids: Sequence[UUID]) -> tuple[dict[UUID, int], datetime]:
    """What some projects can spend, in µHYPER; nobody else can change it until the transaction ends. And the time at
    which the transaction began, by the database's clock."""
    rows = await connection.fetch(_LOCK_AVAILABLE, list(project_ids))
    return {row["project_id"]: row["balance"] for row in rows}, rows[0]["at"]
