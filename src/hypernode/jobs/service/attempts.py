"""What nodes hold: live attempts of a node, leases that are over, and whether a lease is held right now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import msgspec

from hypernode.db.pool import Pool
from hypernode.jobs import store
from hypernode.jobs.endings import Loss, Ref
from hypernode.jobs.service.documents import Documents, KnownJob
from hypernode.jobs.store import queries
from hypernode.kernel import limits
from hypernode.market.model import Demand, demand_of
from hypernode.market.offers import Standing
from hypernode.market.standing import loss_rate

SWEEP_ATTEMPTS = 1_000
RECORD_ATTEMPTS = 1_000
CANCEL_GRACE_MS = 60_000
"""How long a node may take to obey a cancel."""


class LiveLease(msgspec.Struct, frozen=True):
    """A lease a node holds by the database."""

    project_id: UUID
    demand: Demand
    running: bool
    cancel_requested: bool


class Attempts:
    """Reading attempts for those who talk with nodes."""

    def __init__(self, pool: Pool, documents: Documents) -> None:
        self._pool = pool
        self._documents = documents

    async def of_node(self, node: str) -> dict[Ref, LiveLease]:
        """All leases a node holds."""
        rows = await self._pool.fetch(queries.live_attempts_of_node, node)
        leases: dict[Ref, LiveLease] = {}
        for row in rows:
            job = self._documents.decoded(row["job_id"], row["project_id"], row["document"])
            demand = demand_of(job.document, row["remaining_cap"])
            leases[Ref(row["job_id"], row["task"], row["epoch"])] = LiveLease(
                row["project_id"], demand, row["running"], row["cancel_requested"]
            )
        return leases

    async def standing(self, node: str) -> Standing:
        """What is known of a node by what became of its last attempts."""
        row = await self._pool.fetchrow(queries.record_of_node, node, RECORD_ATTEMPTS)
        return Standing(losses_per_s=loss_rate(row["losses"], row["held_s"]))

    async def settled(self, refs: Collection[Ref]) -> set[Ref]:
        """Which of these attempts were settled."""
        if not refs:
            return set()
        async with self._pool.acquire() as connection:
            return set(await store.find_settlements(connection, list(refs)))

    async def overdue(self) -> list[Loss]:
        """Live attempts whose lease is over, with the cause. Looks at all live attempts, and while somebody keeps
        vacuum away at all that have been live since."""
        return _losses(await self._pool.fetch(queries.overdue_attempts, SWEEP_ATTEMPTS, float(CANCEL_GRACE_MS)))

    async def lapsed(self, within_s: float) -> list[Loss]:
        """Those of them whose node's lease ran out so lately; looks at the attempts of these nodes only."""
        return _losses(await self._pool.fetch(queries.lapsed_attempts, SWEEP_ATTEMPTS, within_s))

    async def held(self, job_id: UUID, task: int, epoch: int, node: str) -> KnownJob | None:
        """The job of a lease, if this node holds it at this moment."""
        row = await self._pool.fetchrow(queries.lease_of_node, job_id, task, epoch, node)
        return None if row is None else self._documents.decoded(job_id, row["project_id"], row["document"])

    def writable_bytes(self, job: KnownJob) -> int:
        """How much an attempt may upload in all: what its disk may hold."""
        return min(job.document.resources.disk_bytes, limits.ARTIFACT_BYTES)


def _losses(rows: Iterable[Any]) -> list[Loss]:
    return [Loss(Ref(row["job_id"], row["task"], row["epoch"]), row["node"], row["cause"]) for row in rows]
