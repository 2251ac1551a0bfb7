"""Cancelling: what has not been leased ends at once and is refunded; what runs is told to stop and reports its use."""

from __future__ import annotations

from uuid import UUID

import msgspec

from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.jobs import store
from hypernode.jobs.endings import Ref
from hypernode.jobs.lifecycle import TaskState
from hypernode.jobs.store import queries
from hypernode.kernel.errors import JobEnded, NotFound
from hypernode.ledger import service as ledger_service
from hypernode.ledger.service import Ledger


class LiveAttempt(msgspec.Struct, frozen=True):
    """An attempt that a node must be told about."""

    ref: Ref
    node: str


class Cancels:
    """Cancels jobs."""

    def __init__(self, pool: Pool, ledger: Ledger, hints: Hints) -> None:
        self._pool = pool
        self._ledger = ledger
        self._hints = hints

    async def cancel(self, project_id: UUID, job_id: UUID) -> list[LiveAttempt]:
        """Cancel a job and return the attempts still running, whose nodes must be told. Cancelling twice is harmless.

        Raises NotFound, and JobEnded when there is nothing left to cancel.
        """

        async def work(connection: Connection) -> list[LiveAttempt]:
            return await self._cancel(connection, project_id, job_id)

        live = await run_transaction(self._pool, work, idempotent=True)
        self._hints.events.give([project_id])
        return live

    async def _cancel(self, connection: Connection, project_id: UUID, job_id: UUID) -> list[LiveAttempt]:
        tally = (await store.lock_jobs(connection, [job_id])).get(job_id)
        if tally is None or tally.project_id != project_id:
            raise NotFound(f"there is no job {job_id}")
        if tally.state.ended and not tally.cancel_requested:
            raise JobEnded(f"the job has already ended: {tally.state}")
        await connection.execute(queries.request_cancel, job_id)
        withdrawn = await connection.fetch(queries.withdraw_queue, job_id)
        tasks = sum(row["beyond"] - row["first"] for row in withdrawn)
        if tasks:
            refund = sum((row["beyond"] - row["first"]) * row["remaining_cap"] for row in withdrawn)
            await connection.fetch(queries.cancel_tasks, job_id)
            ended = tally.end(TaskState.CANCELLED, refund, tasks)
            await store.update_jobs(connection, [tally])
            events = [
                Event(project_id, "task.cancelled", job_id, data={"tasks": tasks, "refund": refund, "cause": "client"})
            ]
            if ended:
                events.append(
                    Event(project_id, "job.ended", job_id, data={"state": tally.state.value, "spent": tally.spent})
                )
            await record(connection, events)
            await self._ledger.know(connection, [project_id])
            await ledger_service.post(connection, self._ledger.refund(project_id, refund, job_id))
        rows = await connection.fetch(queries.live_attempts_of_job, job_id)
        return [LiveAttempt(Ref(job_id, row["task"], row["epoch"]), row["node"]) for row in rows]
