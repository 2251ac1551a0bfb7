"""Leasing: assignments decided on a snapshot become attempts in the database, or come to nothing if it has moved on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from hypernode.db.batch import Batcher
from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.jobs import store
from hypernode.jobs.endings import Ref
from hypernode.jobs.service.documents import Documents, KnownJob
from hypernode.jobs.service.fresh import Fresh
from hypernode.jobs.service.lines import Lines
from hypernode.jobs.store import Lease
from hypernode.kernel import limits
from hypernode.market.model import Assignment, Ready, demand_of, needs_of
from hypernode.nodes.model import Ask


class Granted(msgspec.Struct, frozen=True):
    """A lease that now exists, to be sent to its node."""

    ref: Ref
    job: KnownJob
    assignment: Assignment

    @property
    def node(self) -> str:
        """Whose it is."""
        return self.assignment.node

    @property
    def remaining_cap(self) -> int:
        """What the attempt may cost at most."""
        return self.assignment.ready.demand.remaining_cap


class Leases:
    """Ready work and the leases made of it."""

    def __init__(self, pool: Pool, documents: Documents, fresh: Fresh, hints: Hints) -> None:
        self._pool = pool
        self._documents = documents
        self._fresh = fresh
        self._hints = hints
        self._lines = Lines(pool)
        self._page: dict[int, Ready] = {}
        """What was ready when it was asked last: most of it still is the next time, a few milliseconds later."""
        self._running: Batcher[tuple[Ref, str], bool] = Batcher(
            self._mark_running, max_items=limits.FLUSH_ITEMS * 4, max_queue=limits.QUEUE_ITEMS, name="running"
        )

    async def ready(self, without_shapes: Sequence[int], limit: int) -> list[Ready]:
        """Work that could be leased now: the front of every project's line, leaving out some shapes. By a look at the
        queue, unless nothing waits but what has just come in."""
        if not without_shapes and (fresh := self._fresh.take()):
            return fresh
        self._fresh.begin_look()
        rows = await self._lines.look(without_shapes, limit)
        self._fresh.end_look(empty=self._lines.empty)
        new = [row for row in rows if not _same(self._page.get(row["id"]), row)]
        jobs = await self._documents.find(self._pool, {row["job_id"] for row in new})
        page = self._page
        for row in new:
            page[row["id"]] = Ready(
                queue_id=row["id"],
                job_id=row["job_id"],
                first=row["first"],
                beyond=row["beyond"],
                demand=demand_of(jobs[row["job_id"]].document, row["remaining_cap"]),
                shape=row["shape"],
                project=row["project_id"],
                rank=row["rank"],
                needs=needs_of(jobs[row["job_id"]].document),
            )
        self._page = {row["id"]: page[row["id"]] for row in rows}
        return list(self._page.values())

    async def lease(
        self, assignments: Sequence[Assignment], asks: Mapping[str, Ask], sessions: Mapping[str, UUID]
    ) -> tuple[list[Granted], set[str]]:
        """Make attempts of assignments. Those whose node is no longer alive, whose work was taken by somebody else or
        whose job has been cancelled are left out. Returns also the nodes that are not alive through these sessions.
        Raises CommitUnknown when leases may exist or not."""
        # A job is never changed, so it can be known before the transaction.
        jobs = await self._documents.find(self._pool, {a.ready.job_id for a in assignments})
        leases = [
            Lease(a, asks[a.node].rate_per_second, asks[a.node].fixed, _deadline_ms(jobs[a.ready.job_id]))
            for a in assignments
        ]
        epochs, gone = await store.lease(self._pool, leases, sessions)
        granted = [
            Granted(Ref(a.ready.job_id, a.task, epoch), jobs[a.ready.job_id], a)
            for a in assignments
            if (epoch := epochs.get((a.ready.job_id, a.task))) is not None
        ]
        self._hints.events.give({grant.job.project_id for grant in granted})
        return granted, gone

    def running(self, ref: Ref, node: str) -> asyncio.Future[bool]:
        """A node says that a task's process has started, maybe once more. False if the lease is not (any more) its.
        Raises Overloaded."""
        return self._running.put((ref, node))

    async def _mark_running(self, items: list[tuple[Ref, str]]) -> list[bool | Exception]:
        projects: set[UUID] = set()

        async def work(connection: Connection) -> set[Ref]:
            fresh = await store.mark_running(connection, items)
            jobs = await self._documents.find(connection, {ref.job_id for ref in fresh})
            projects.update(job.project_id for job in jobs.values())
            await record(
                connection,
                [
                    Event(jobs[ref.job_id].project_id, "task.running", ref.job_id, ref.task, ref.epoch, node)
                    for ref, node in fresh.items()
                ],
            )
            again = [item for item in items if item[0] not in fresh]
            return fresh.keys() | (await store.find_running(connection, again) if again else set())

        held = await run_transaction(self._pool, work, idempotent=True)
        self._hints.events.give(projects)
        return [ref in held for ref, _ in items]

    async def close(self) -> None:
        """Write what was taken in."""
        await self._running.close()


def _deadline_ms(job: KnownJob) -> int:
    """From its lease on, when an attempt must have ended."""
    return limits.PREPARE_MS + job.document.timeout_s * 1000 + limits.REPORT_GRACE_MS


def _same(known: Ready | None, row: Any) -> bool:
    return known is not None and known.first == row["first"]
