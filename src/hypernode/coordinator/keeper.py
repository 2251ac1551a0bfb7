"""The coordinator's regular duties. Each is one loop; what goes wrong unexpectedly in one stops the process loudly."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from hypernode.artifacts.service import ArtifactService
from hypernode.coordinator.reports import Reports
from hypernode.coordinator.sessions import Sessions
from hypernode.coordinator.settings import Settings
from hypernode.db.pool import AWAY, Pool, is_away
from hypernode.governance.service.governance import Governance
from hypernode.jobs.endings import Loss
from hypernode.jobs.service.attempts import Attempts
from hypernode.kernel import limits
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy

log = logging.getLogger(__name__)

HOURLY_S: Final = 3600.0
GOVERNANCE_S: Final = 15.0
"""How late what time decides may come about, and changed parameters may reach another coordinator."""
RENEWAL_IS_CURRENT_S: Final = 2 * limits.POLL_S
"""Leases count as over only if renewals have gone through so recently."""
SWEEP_SHARE: Final = 0.02
"""At most this share of the time goes into looking at all live attempts."""
SWEEP_ALL_S: Final = 60.0
"""But so often it is done at least, whatever it costs."""
SILENCE_BEATS: Final = 7
"""Heartbeats a node may miss before its connection counts as dead: more than two of the slow ones of a node that holds
nothing. Its leases run on until their own time."""


class Keeper:
    """Renews leases, ends those that are over, and keeps house."""

    def __init__(
        self,
        settings: Settings,
        coordinator_id: UUID,
        pool: Pool,
        tenancy: Tenancy,
        nodes: Nodes,
        attempts: Attempts,
        artifacts: ArtifactService,
        governance: Governance,
        reports: Reports,
        sessions: Sessions,
    ) -> None:
        self._settings = settings
        self._id = coordinator_id
        self._pool = pool
        self._tenancy = tenancy
        self._nodes = nodes
        self._attempts = attempts
        self._artifacts = artifacts
        self._governance = governance
        self._reports = reports
        self._sessions = sessions
        self._sweep_all_at = -math.inf
        """When all live attempts are looked at again."""
        self._renewed_at = -math.inf
        """When leases were last renewed, or there were none to renew."""

    async def renew(self) -> None:
        """Every second: one statement renews the leases of all nodes that were heard of."""
        await _every(limits.POLL_S, self._renew)

    async def sweep(self) -> None:
        """Every second: end attempts whose lease is over by the database's clock. Not while leases cannot be renewed:
        when the database has been away, those heard of meanwhile are renewed before anybody is judged.

        Where a look at all live attempts takes long, since somebody keeps vacuum away from those that have ended, the
        nodes whose lease has just run out are found every second nevertheless, what else is over within a minute."""
        await _every(limits.POLL_S, self._sweep)

    async def govern(self) -> None:
        """Every 15 seconds: count votes, draw panels, carry out, unlock, whatever is due."""
        await _every(GOVERNANCE_S, self._governance.keep)

    async def tidy(self) -> None:
        """Every hour: make the next month's partitions; forget uploads nobody goes on with, old keys and tokens."""
        await _every(HOURLY_S, self._tidy)

    async def _renew(self) -> None:
        self._end_silent()
        await self._nodes.tick(self._id)
        heard = [(session.node, session.id) for session in self._sessions if session.heard]
        for session in self._sessions:
            session.heard = False
        try:
            counted = await self._nodes.renew(heard, self._settings.lease_ms) if heard else set()
        except AWAY:
            for node, session_id in heard:
                if (known := self._sessions.get(node)) is not None and known.id == session_id:
                    known.heard = True
            raise
        self._renewed_at = time.monotonic()
        for node, session_id in heard:
            known = self._sessions.get(node)
            if known is None or known.id != session_id:
                continue
            if node in counted:
                known.unheard = False
            else:
                known.close("node.superseded", "the node is revoked, or connected elsewhere", retry=True)

    def _end_silent(self) -> None:
        """One look at all connections instead of a timer for each: a quiet one costs nothing but its heartbeats."""
        silence_s = SILENCE_BEATS * self._settings.heartbeat_ms / 1000
        now = time.monotonic()
        for session in self._sessions:
            if now - session.heard_at > silence_s and session.closing is None:
                log.info("node %s was silent for %.1f s", session.node, now - session.heard_at)
                session.close("node.silent", f"nothing was heard for {silence_s:g} s", retry=True)

    async def _sweep(self) -> None:
        if time.monotonic() - self._renewed_at > RENEWAL_IS_CURRENT_S:
            return
        for loss in await self._over():
            session = self._sessions.get(loss.node)
            await self._reports.lose(loss)
            if session is not None:
                self._reports.drop(session, loss.ref, loss.cause)

    async def _over(self) -> list[Loss]:
        began = time.monotonic()
        if began < self._sweep_all_at:
            return await self._attempts.lapsed(2 * SWEEP_ALL_S)
        losses = await self._attempts.overdue()
        ended = time.monotonic()
        self._sweep_all_at = ended + min((ended - began) / SWEEP_SHARE, SWEEP_ALL_S)
        return losses

    async def _tidy(self) -> None:
        await self._pool.execute("select ensure_partitions()")
        await self._artifacts.sweep()
        await self._tenancy.forget_answers()
        await self._nodes.forget_join_tokens()


async def _every(interval_s: float, duty: Callable[[], Awaitable[None]]) -> None:
    """Do a duty at once and then every `interval_s`, also while the database is away for a while."""
    while True:
        start = time.monotonic()
        try:
            await duty()
        except AWAY as error:
            if not is_away(error):
                raise
            log.warning("%s: the database is away: %r", duty.__qualname__, error)
        await asyncio.sleep(max(0.05, interval_s - (time.monotonic() - start)))
