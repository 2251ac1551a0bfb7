"""Gives ready work to nodes with room: decided on what is in memory, committed with a conflict check, then sent."""

from __future__ import annotations

import logging
import time

from hypernode.coordinator.logins import Logins
from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.sessions import Sessions, wire
from hypernode.db.pool import AWAY, CommitUnknown, is_away
from hypernode.events.hints import Hints
from hypernode.jobs.service.lease import Granted, Leases
from hypernode.kernel import limits
from hypernode.market.model import match
from hypernode.protocol.messages import Lease

log = logging.getLogger(__name__)


class Scheduler:
    """One loop a coordinator. Several coordinators may schedule at once: whoever commits first has the work."""

    def __init__(self, leases: Leases, sessions: Sessions, logins: Logins, hints: Hints, metrics: Metrics) -> None:
        self._leases = leases
        self._sessions = sessions
        self._logins = logins
        self._hints = hints
        self._metrics = metrics

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
        unfit: set[int] = set()
        while offers := self._sessions.offers():
            work = await self._leases.ready(sorted(unfit), limits.MATCH_PAGE)
            assignments, missed = match(work, offers)
            unfit |= missed
            if not assignments:
                if not missed:
                    return
                continue
            asks = {offer.node: offer.ask for offer in offers}
            sessions = {node: s.id for node in asks if (s := self._sessions.get(node)) is not None}
            sendable = [a for a in assignments if a.node in sessions]
            granted: list[Granted] = []
            try:
                granted, gone = await self._leases.lease(sendable, asks, sessions)
            except CommitUnknown as error:
                # Leases may exist that nobody was told of. A node that connects anew without them gives them up.
                for assignment in sendable:
                    doubtful = self._sessions.get(assignment.node)
                    if doubtful is not None:
                        doubtful.close(error.code, str(error), retry=True)
                raise
            finally:
                kept = {(g.assignment.ready.queue_id, g.assignment.task) for g in granted}
                by_node = {offer.node: offer for offer in offers}
                for assignment in assignments:
                    if (assignment.ready.queue_id, assignment.task) not in kept:
                        by_node[assignment.node].give_back(assignment.ready.demand)
            private: list[Granted] = []
            for grant in granted:
                session = self._sessions.get(grant.node)
                if session is None or session.offer is not by_node[grant.node]:
                    continue  # it left meanwhile; when it comes back without the lease, the lease is given up
                session.hold(grant.ref, grant.assignment.ready.demand)
                if self._logins.needs(grant):
                    private.append(grant)
                else:
                    session.send(Lease(wire(grant.ref), grant.job.data, grant.remaining_cap))
            self._metrics.leases.inc(len(granted))
            await self._logins.send(private)
            for node in gone:
                # Else its offer would take the same work again and again, which others could do.
                session = self._sessions.get(node)
                if session is not None and session.id == sessions[node]:
                    session.unheard = True
            if not granted and not gone:
                return
