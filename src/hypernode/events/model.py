"""Events: every transition in the network is one, with its cause."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event to be written. `kind` is `room.what`, such as `task.leased`."""

    project_id: UUID
    kind: str
    job_id: UUID | None = None
    task: int | None = None
    epoch: int | None = None
    node: str | None = None
    data: dict[str, Any] | None = None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Data of an event on `/events`: a transition with its cause."""

    id: str
    at: str
    kind: str
    job_id: str | None
    task: int | None
    epoch: int | None
    node: str | None
    data: dict[str, Any]
