"""Gives ready work to nodes with room: decided on what is in memory, committed with a conflict check, then sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from hypernode.coordinator.logins import Logins
from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.sessions import Sessions, wire
from hypernode.db.pool import AWAY, CommitUnknown, is_away
from hypernode.events.hints import Hints
from hypernode.jobs.service.lease import Granted, Leases
from hypernode.kernel import limits
from hypernode.market.fairness import Backlog
from hypernode.market.matching import Given, Matcher
from hypernode.market.model import Assignment
from hypernode.protocol.messages import Lease

log = logging.getLogger(__name__)

DEEP_SHARE: Final = 0.2
"""At most this share of the time is spent looking behind work that finds no room. What is first in any line is seen at
once, however much there is behind it."""


class Scheduler:
    """One loop a coordinator. Several coordinators may schedule at once: whoever commits first has the work."""

    def __init__(self, leases: Leases, sessions: Sessions, logins: Logins, hints: Hints, metrics: Metrics) -> None:
        self._leases = leases
        self._sessions = sessions
        self._logins = logins
        self._hints = hints
        self._metrics = metrics
        self._matcher = Matcher(sessions.pool)
        self._deep_at = 0.0

    async def run(self) -> None:
        """Match whenever there may be something to match, and at least once a second."""
        while True:
            seen = self._hints.ready.count
            start = time.perf_counter()
            try:
                await self.match()
            except AWAY as error:
                if not is_away(error):
                    raise
                log.warning("matching: the database is away: %r", error)
            self._metrics.match_s.observe(time.perf_counter() - start)
            await self._hints.ready.wait(seen, limits.POLL_S)

    async def match(self) -> None:
        """Give out work until nobody has room or nothing fits."""
        blocked: set[int] = set()
        while self._sessions.pool.has_room():
            if blocked:
                await self._look_behind(blocked)
                return
            if not await self._step(blocked):
                return

    async def _look_behind(self, blocked: set[int]) -> None:
        """The same behind what finds no room, of which the database may have to pass over a million rows."""
        began = time.monotonic()
        if began < self._deep_at:
            return
        try:
            while self._sessions.pool.has_room() and await self._step(blocked):
                pass
        finally:
            took = time.monotonic() - began
            self._deep_at = began + took / DEEP_SHARE

    async def _step(self, blocked: set[int]) -> bool:
        """Match one page. Returns whether there may be more to do."""
        known = len(blocked)
        work = await self._leases.ready(sorted(blocked), limits.MATCH_PAGE)
        given = self._matcher.decide(Backlog(work), time.monotonic(), blocked)
        if given:
            return await self._lease(given)
        return len(blocked) > known

    async def _lease(self, given: Sequence[Given]) -> bool:
        """Commit what was decided, and send it. Returns whether anything changed; if not, somebody else was faster."""
        sessions = {one.offer.node: s for one in given if (s := self._sessions.get(one.offer.node)) is not None}
        sendable = [one.assignment for one in given if one.offer.node in sessions]
        ids = {node: session.id for node, session in sessions.items()}
        granted: list[Granted] = []
        try:
            granted, gone = await self._leases.lease(sendable, {one.offer.node: one.offer.ask for one in given}, ids)
        except CommitUnknown as error:
            # Leases may exist that nobody was told of. A node that connects anew without them gives them up.
            for session in sessions.values():
                session.close(error.code, str(error), retry=True)
            raise
        finally:
            kept = {_key(grant.assignment): grant for grant in granted}
            private = [grant for one in given if (grant := self._settle(one, kept.get(_key(one.assignment))))]
        self._metrics.leases.inc(len(granted))
        await self._logins.send(private)
        await asyncio.sleep(0)  # what was granted goes out before the next look
        for node in gone:
            # Else its offer would take the same work again and again, which others could do.
            if self._sessions.get(node) is sessions[node]:
                sessions[node].unheard = True
        return bool(granted or gone)

    def _settle(self, one: Given, grant: Granted | None) -> Granted | None:
        """Send a lease that is granted, or give back the room it took. Returns it if a login must go with it."""
        if grant is None:
            self._sessions.pool.give_back(one.offer, one.holding)
            return None
        session = self._sessions.get(grant.node)
        if session is None or session.offer is not one.offer:
            return None  # it left meanwhile; when it comes back without the lease, the lease is given up
        session.hold(grant.ref, one.holding)
        if self._logins.needs(grant):
            return grant
        session.send(Lease(wire(grant.ref), grant.job.data, grant.remaining_cap))
        return None


def _key(assignment: Assignment) -> tuple[int, int]:
    return assignment.ready.queue_id, assignment.task
