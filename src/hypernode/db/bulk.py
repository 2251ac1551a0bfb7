"""Writing many new rows: by COPY, which needs neither planner nor executor and fills pages whole. Writing few of many
kinds: together, which needs one way to the database and back instead of many."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final, Protocol

from hypernode.db.pool import Connection

COPY_ROWS: Final = 24
"""From so many rows on, COPY costs less than an INSERT from arrays (measured: the two cross at 16 to 32 rows)."""

_PARAMETER: Final = re.compile(r"\$(\d+)")
_COMMENT: Final = re.compile(r"--.*")


class Writer(Protocol):
    """What writes rows whose answers nobody needs: a connection, or several statements together."""

    async def execute(self, query: str, *args: Any) -> Any:
        """Write by a statement, now or with others."""

    async def copy_records_to_table(
        self, table_name: str, *, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> Any:
        """Write by COPY, now."""


class Together:
    """Statements that are sent as one. See `together`."""

    def __init__(self, connection: Connection) -> None:
        self.rows: list[Any] = []
        """Once they are sent: what the last of them returns."""
        self._connection = connection
        self._statements: list[str] = []
        self._arguments: list[Any] = []

    async def execute(self, query: str, *args: Any) -> None:
        """Have a statement executed at the end."""
        self._statements.append(query)
        self._arguments += args

    async def copy_records_to_table(
        self, table_name: str, *, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> None:
        """Write by COPY, now: nothing here depends on the order."""
        await self._connection.copy_records_to_table(table_name, columns=columns, records=records)

    async def send(self) -> None:
        """Execute what was collected."""
        if self._statements:
            self.rows = await self._connection.fetch(_joined(tuple(self._statements)), *self._arguments)


@asynccontextmanager
async def together(connection: Connection) -> AsyncIterator[Together]:
    """Collects what is executed in the block and sends it as one statement at its end, unless the block raises.

    For single INSERT, UPDATE and DELETE statements that do not see each other: all of them see the rows as they were
    before the first, no two may change the same row, and triggers after statements run when all are done. Fails as a
    whole with the error of whichever failed. What the last statement returns is in `rows` after the block.
    """
    writes = Together(connection)
    yield writes
    await writes.send()


@lru_cache(maxsize=64)
def _joined(statements: tuple[str, ...]) -> str:
    """One statement of several, the parameters of each counted on from those before, which returns what the last does.
    Always the same text for the same statements, so that it is prepared once."""
    parts: list[str] = []
    taken = 0
    for statement in statements:
        part, count = _counted_from(taken, _COMMENT.sub("", statement))
        parts.append(part)
        taken += count
    *others, last = parts
    if not others:
        return statements[0]
    return f"with {', '.join(f'part_{number} as ({part})' for number, part in enumerate(others))} {last}"


def _counted_from(taken: int, statement: str) -> tuple[str, int]:
    """A statement whose parameters come after so many others, and how many it has."""
    count = max((int(number) for number in _PARAMETER.findall(statement)), default=0)
    return _PARAMETER.sub(lambda match: f"${int(match[1]) + taken}", statement), count


async def insert_rows(
    writer: Writer, table: str, columns: Sequence[str], statement: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Insert `rows`, whose values stand in the order of `columns`; nothing happens if there are none.

    Few rows go through `statement`, which takes one array a column. Both ways run the table's checks and triggers (for
    each statement: once), and fail as a whole with the same asyncpg errors.
    """
    if len(rows) >= COPY_ROWS:
        await writer.copy_records_to_table(table, columns=columns, records=rows)
    elif rows:
        await writer.execute(statement, *map(list, zip(*rows, strict=True)))
