"""What an agent says of itself: the answer of the control socket, and of node:status."""

from __future__ import annotations

import enum

import msgspec

from hypernode.agent.journal import Totals
from hypernode.kernel.keys import PublicKey
from hypernode.nodes.model import Ask, Capabilities


class AgentState(enum.StrEnum):
    """Where an agent is in its life."""

    STARTING = "starting"
    CONNECTING = "connecting"
    ONLINE = "online"
    DRAINING = "draining"
    STOPPED = "stopped"


class LeaseView(msgspec.Struct, frozen=True):
    """One lease the node holds."""

    job_id: str
    task: int
    attempt: int
    name: str
    phase: str
    seconds: float
    """Since it was taken."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment."""

    key: PublicKey
    name: str
    project: str
    state: AgentState
    pid: int | None = None
    connected_to: str | None = None
    last_error: str | None = None
    """Why it is not connected."""
    capabilities: Capabilities | None = None
    ask: Ask | None = None
    leases: list[LeaseView] = []
    totals: Totals = Totals()
    unsent: int = 0
    """Signed results no coordinator has acknowledged yet."""
