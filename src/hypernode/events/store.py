"""The statements of events. No other room reads or writes their table, but for `task.leased`, which the statement that
leases writes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hypernode.db.bulk import Writer, insert_rows
from hypernode.db.sql import load_sql
from hypernode.events.model import Event

queries: Final = load_sql(__package__)

_COLUMNS: Final = ("project_id", "kind", "job_id", "task", "epoch", "node", "data")


async def insert_events(writer: Writer, events: Sequence[Event]) -> None:
    """Write events."""
    await insert_rows(
        writer,
        "event",
        _COLUMNS,
        queries.insert_events,
        [
            (e.project_id, e.kind, e.job_id, e.task, e.epoch, e.node, None if e.data is None else _encode(e.data))
            for e in events
        ],
    )


_encode: Final = msgspec.json.Encoder().encode
