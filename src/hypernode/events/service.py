"""The feed of events: read from the database from any position on, woken by hints, with nothing skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from hypernode.db.bulk import Writer
from hypernode.db.pool import Pool
from hypernode.events.hints import Hints
from hypernode.events.model import Event, EventView
from hypernode.events.store import insert_events, queries
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.times import rfc3339

_PAGE: Final = 500
_PACE_S: Final = 0.01
_BURST: Final = 6
"""A reader looks so often at most, on average and at once: one job's few events come without delay, and a busy network
does not mean a query an event."""
_AGAIN_S: Final = (0.005, 0.015, 0.03)
"""How soon a reader looks again after a hint, each after the one before: what was written may still stand behind a
transaction that began earlier and gives no hint when it ends."""


async def record(writer: Writer, events: Sequence[Event]) -> None:
    """Write events in the transaction of what they tell about."""
    await insert_events(writer, events)


class Feed:
    """Events of a project, in the order they were committed."""

    def __init__(self, pool: Pool, hints: Hints) -> None:
        self._pool = pool
        self._hints = hints

    async def history(self, project_id: UUID, job_id: UUID, limit: int = 2_000) -> list[EventView]:
        """What happened to a job, oldest first."""
        rows = await self._pool.fetch(queries.events_of_job, job_id, project_id, limit)
        return [_event(row) for row in rows]

    async def position(self) -> str:
        """The position of now."""
        return f"{await self._pool.fetchval(queries.event_horizon)}.-1"

    async def follow(self, project_id: UUID, job_id: UUID | None, after: str | None) -> AsyncIterator[EventView | None]:
        """Events after a position (of now on, if None), for as long as the caller listens. None is given about once a
        second when nothing happens. Raises InvalidInput for a position this service did not give."""
        xid, seq = _parse(after or await self.position())
        clock = asyncio.get_running_loop().time
        hint = self._hints.events.of(project_id)
        again, looks, looked = 0, float(_BURST), clock()
        while True:
            seen = hint.count
            rows = await self._pool.fetch(queries.events_since, project_id, xid, seq, job_id, _PAGE)
            for row in rows:
                yield _event(row)
            if rows:
                xid, seq = rows[-1]["xid"], rows[-1]["seq"]
            if len(rows) == _PAGE:
                continue
            await hint.wait(seen, _AGAIN_S[again] if again < len(_AGAIN_S) else limits.POLL_S)
            again = again + 1 if hint.count == seen else 0
            yield None
            looks, looked = min(_BURST, looks + (clock() - looked) / _PACE_S) - 1, clock()
            if looks < 0:
                await asyncio.sleep(-looks * _PACE_S)


def check_position(position: str | None) -> None:
    """Raise InvalidInput for a position this service did not give: before a stream begins there is still a way to say
    so."""
    if position is not None:
        _parse(position)


def _parse(position: str) -> tuple[str, int]:
    xid, _, seq = position.partition(".")
    numbers = position.isascii() and xid.isdecimal() and (seq == "-1" or seq.isdecimal())
    if not numbers or len(xid) > 19 or len(seq) > 18:
        raise InvalidInput("Last-Event-ID is not one this service gave")
    return xid, int(seq)


def _event(row: Any) -> EventView:
    return EventView(
        id=f"{row['xid']}.{row['seq']}",
        at=rfc3339(row["at"]),
        kind=row["kind"],
        job_id=str(row["job_id"]) if row["job_id"] else None,
        task=row["task"],
        epoch=row["epoch"],
        node=row["node"],
        data=msgspec.json.decode(row["data"]) if row["data"] else {},
    )
