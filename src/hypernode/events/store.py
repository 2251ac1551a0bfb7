"""The statements of events. No other room reads or writes their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql
from hypernode.events.model import Event

queries: Final = load_sql(__package__)

_INSERT: Final = queries.insert_events


async def insert_events(connection: Connection, events: Sequence[Event]) -> None:
    """Write events."""
    if not events:
        return
    await connection.execute(
        _INSERT,
        [e.project_id for e in events],
        [e.kind for e in events],
        [e.job_id for e in events],
        [e.task for e in events],
        [e.epoch for e in events],
        [e.node for e in events],
        [None if e.data is None else msgspec.json.encode(e.data) for e in events],
    )
