"""The nodes connected to this coordinator, and the leases they hold, in memory. The truth is in the database: this is
what is needed to send a message, to know how much room a node has, and to notice a lease it no longer speaks of."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from hypernode.db.uuids import uuid_of
from hypernode.jobs.endings import Ref
from hypernode.kernel.ids import uuid7
from hypernode.market.offers import NEUTRAL, Holding, Offer, Standing, idle_offer
from hypernode.market.pool import Pool
from hypernode.nodes.model import Ask, Capabilities
from hypernode.protocol import messages

OUTBOX_MESSAGES: Final = 50_000
"""Messages waiting for a node that does not read; beyond it the connection is ended."""
MISSED_BEATS: Final = 2
"""Heartbeats without a lease after which it counts as forgotten, if the node has named it before. Messages are in order
on a connection, so one is enough in principle; two cost nothing."""
UNNAMED_BEATS: Final = 10
"""The same for a lease that the node has never named: what it said before the lease came to it crosses the lease, and
comes all at once when this process has stood still for a while."""

_KNOWN_REFS: Final = 4096
"""Leases whose names are kept: each is named in several messages."""


class Held(msgspec.Struct):
    """A lease that a node holds."""

    holding: Holding
    running: bool = False
    """Whether it is known that the process has started."""
    named: bool = False
    """Whether the node has said that it holds this."""
    missed: int = 0
    """Heartbeats in a row that did not name it."""
    starting: asyncio.Future[bool] | None = None
    """Writes that the process has started; what comes later about the lease waits for it."""
    ending: bool = False


class Session:
    """One node's connection."""

    def __init__(
        self, node: str, capabilities: Capabilities, ask: Ask, pool: Pool, standing: Standing = NEUTRAL
    ) -> None:
        """`pool` is where its offer will be as soon as `Sessions` knows it."""
        self.id: Final = uuid7()
        self.node: Final = node
        self.offer: Final[Offer] = idle_offer(node, capabilities, ask, standing)
        self.leases: dict[Ref, Held] = {}
        self.heard = False
        """Whether there was a sign of life since leases were last renewed."""
        self.heard_at = time.monotonic()
        """When there was one last."""
        self.closing: messages.Closing | None = None
        self._pool = pool
        self._draining = self._unheard = False
        self._outbox: list[messages.CoordinatorMessage] = []
        self._wake = asyncio.Event()

    def hear(self) -> None:
        """The node gave a sign of life."""
        self.heard = True
        self.heard_at = time.monotonic()

    @property
    def draining(self) -> bool:
        """Whether it finishes what it has and takes nothing new."""
        return self._draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._draining = value
        self._open()

    @property
    def unheard(self) -> bool:
        """Whether the database takes it for dead: it gets nothing until its lease has been renewed."""
        return self._unheard

    @unheard.setter
    def unheard(self, value: bool) -> None:
        self._unheard = value
        self._open()

    def _open(self) -> None:
        self._pool.open(self.offer, is_open=not (self._draining or self._unheard or self.closing))

    def send(self, message: messages.CoordinatorMessage) -> None:
        """Queue a message; what is queued together travels in one frame."""
        if len(self._outbox) >= OUTBOX_MESSAGES:
            self.close("node.slow", "the node does not read what it is sent", retry=True)
            return
        self._outbox.append(message)
        self._wake.set()

    def close(self, code: str, detail: str, *, retry: bool) -> None:
        """End the connection, telling the node why. What is queued before goes out first."""
        if self.closing is None:
            self.closing = messages.Closing(code, detail, retry)
            self._open()
            self._wake.set()

    async def outgoing(self) -> list[messages.CoordinatorMessage]:
        """The next messages to send; empty when the connection is to end."""
        while not self._outbox and self.closing is None:
            self._wake.clear()
            await self._wake.wait()
        batch, self._outbox = self._outbox, []
        return batch

    def hold(self, ref: Ref, holding: Holding, *, running: bool = False) -> Held:
        """The node holds a lease that was taken from its offer before."""
        held = Held(holding, running)
        self.leases[ref] = held
        return held

    def release(self, ref: Ref) -> None:
        """The lease has ended: its room is free again."""
        held = self.leases.pop(ref, None)
        if held is not None:
            self._pool.give_back(self.offer, held.holding)


class Sessions:
    """All connections of this coordinator."""

    def __init__(self) -> None:
        self._by_node: dict[str, Session] = {}
        self.pool: Final = Pool()
        """Their offers."""

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_node.values()))

    def __len__(self) -> int:
        return len(self._by_node)

    def get(self, node: str) -> Session | None:
        """A node's session, if it is connected here."""
        return self._by_node.get(node)

    def add(self, session: Session) -> None:
        """A node is connected; an older connection of the same node is ended."""
        old = self._by_node.get(session.node)
        if old is not None:
            old.close("node.replaced", "the node has connected again", retry=False)
        self._by_node[session.node] = session
        self.pool.put(session.offer)

    def remove(self, session: Session) -> None:
        """The connection has ended."""
        if self._by_node.get(session.node) is session:
            del self._by_node[session.node]
            self.pool.remove(session.node)


def wire(ref: Ref) -> messages.LeaseRef:
    """A lease as messages name it."""
    return messages.LeaseRef(ref.job_id.bytes, ref.task, ref.epoch)


@functools.lru_cache(maxsize=_KNOWN_REFS)
def unwire(ref: messages.LeaseRef) -> Ref:
    """A lease as the rooms name it."""
    return Ref(uuid_of(ref.job_id), ref.task, ref.epoch)
