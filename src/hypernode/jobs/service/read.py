"""Reading jobs: everything is found within the project that asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from hypernode.db.pool import Pool
from hypernode.jobs.explain import COUNTED, Place
from hypernode.jobs.lifecycle import AttemptState, JobState, TaskState
from hypernode.jobs.model import decode_canonical
from hypernode.jobs.service.submit import Submission, Terms
from hypernode.jobs.store import queries
from hypernode.jobs.views import AttemptView, JobPage, JobView, TaskCounts, TaskPage, TaskView
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput, NotFound
from hypernode.kernel.times import rfc3339, rfc3339_or_none
from hypernode.ledger.model import Shares
from hypernode.ledger.receipt import ReceiptBody


class Reader:
    """Views of jobs and their tasks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def job(self, project_id: UUID, job_id: UUID) -> JobView:
        """One job with its document. Raises NotFound, also when it is another project's."""
        row = await self._pool.fetchrow(queries.find_job, job_id, project_id)
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return _job(row, row["document"])

    async def jobs_by_id(self, project_id: UUID, job_ids: list[UUID]) -> dict[UUID, JobView]:
        """Several jobs at once, without documents."""
        rows = await self._pool.fetch(queries.find_jobs, job_ids, project_id)
        return {row["id"]: _job(row) for row in rows}

    async def jobs(
        self,
        project_id: UUID,
        *,
        state: JobState | None,
        name: str | None,
        labels: dict[str, str],
        cursor: str | None,
        limit: int,
    ) -> JobPage:
        """Jobs, newest first."""
        try:
            before = UUID(cursor) if cursor else None
        except ValueError as error:
            raise InvalidInput("the cursor is not one this service gave") from error
        rows = await self._pool.fetch(
            queries.list_jobs, project_id, before, state and state.value, name, labels or None, limit + 1
        )
        items = [_job(row) for row in rows[:limit]]
        return JobPage(items, items[-1].id if len(rows) > limit else None)

    async def tasks(
        self, project_id: UUID, job_id: UUID, *, state: TaskState | None, cursor: str | None, limit: int
    ) -> TaskPage:
        """Tasks of a job by index with their attempts. Tasks never leased are shown as queued (or cancelled)."""
        job = await self.job(project_id, job_id)
        try:
            after = int(cursor) if cursor else -1
        except ValueError as error:
            raise InvalidInput("the cursor is not one this service gave") from error
        if not -1 <= after < limits.ARRAY_TASKS:
            raise InvalidInput("the cursor is not one this service gave")
        untouched = TaskState.CANCELLED if job.state.ended else TaskState.QUEUED
        # Tasks without a row are all in one state; where that state is not asked for, the rows are all there is.
        window = job.size if state not in (None, untouched) else min(job.size, after + 1 + limit)
        rows = await self._pool.fetch(
            queries.list_tasks, job_id, project_id, after, window - 1, state and state.value, limit + 1
        )
        attempts: dict[int, list[AttemptView]] = {}
        for row in await self._pool.fetch(queries.list_attempts, job_id, [row["index"] for row in rows]):
            attempts.setdefault(row["task"], []).append(_attempt(row))
        if state not in (None, untouched):
            views = [_task(row, attempts) for row in rows[:limit]]
            return TaskPage(views, str(views[-1].index) if len(rows) > limit else None)
        by_index = {row["index"]: row for row in rows}
        if state is not None:  # rows in other states are to be left out, not shown as untouched
            known = await self._pool.fetch(queries.list_tasks, job_id, project_id, after, window - 1, None, limit + 1)
            other = {row["index"] for row in known} - set(by_index)
        else:
            other = set()
        views = [
            _task(by_index[index], attempts) if index in by_index else _untouched(index, untouched)
            for index in range(after + 1, window)
            if index not in other
        ]
        return TaskPage(views, str(window - 1) if window < job.size else None)

    async def place(self, job_id: UUID, nodes: Sequence[str]) -> Place | None:
        """What stands before the next waiting task of a job that these nodes could run; None if none waits."""
        around = float(limits.PREPARE_MS + limits.REPORT_GRACE_MS)
        row = await self._pool.fetchrow(queries.place_of_job, job_id, nodes, COUNTED, around)
        return None if row is None else Place(row["retried_at"], row["ahead"], row["others"], row["room_at"])

    async def current_epoch(self, project_id: UUID, job_id: UUID, task: int) -> tuple[TaskState, int]:
        """State and newest epoch of a task; epoch 0 if it was never leased. Raises NotFound."""
        row = await self._pool.fetchrow(queries.find_task, job_id, task, project_id)
        if row is not None:
            return TaskState(row["state"]), row["epoch"]
        job = await self.job(project_id, job_id)
        if not 0 <= task < job.size:
            raise NotFound(f"job {job_id} has {job.size} tasks; there is no task {task}")
        return (TaskState.CANCELLED if job.state.ended else TaskState.QUEUED), 0


def fresh_view(submission: Submission, job_id: UUID, terms: Terms, *, document: bool = True) -> JobView:
    """A job as it is when it has just been taken, without reading it back."""
    of = submission.document
    return JobView(
        id=str(job_id),
        content_id=submission.content_id,
        name=of.name,
        state=JobState.QUEUED,
        tasks=TaskCounts(queued=of.size, live=0, succeeded=0, failed=0, cancelled=0, expired=0),
        size=of.size,
        cap=of.cap,
        held=submission.hold,
        spent=0,
        shares=terms.shares,
        labels=of.labels,
        submitted_at=rfc3339(terms.submitted_at),
        ended_at=None,
        document=of if document else None,
    )


def _job(row: Any, document: bytes | None = None) -> JobView:
    ended = row["succeeded"] + row["failed"] + row["cancelled"] + row["expired"]
    return JobView(
        id=str(row["id"]),
        content_id=row["content_id"].hex(),
        name=row["name"],
        state=JobState(row["state"]),
        tasks=TaskCounts(
            queued=max(0, row["size"] - ended - row["live"]),
            live=row["live"],
            succeeded=row["succeeded"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            expired=row["expired"],
        ),
        size=row["size"],
        cap=row["cap"],
        held=row["held"],
        spent=row["spent"],
        shares=Shares.of(row),
        labels=row["labels"] or {},
        submitted_at=rfc3339(row["submitted_at"]),
        ended_at=rfc3339_or_none(row["ended_at"]),
        document=None if document is None else decode_canonical(document),
    )


def _attempt(row: Any) -> AttemptView:
    return AttemptView(
        epoch=row["epoch"],
        node=row["node"],
        state=AttemptState(row["state"]),
        leased_at=rfc3339(row["leased_at"]),
        started_at=rfc3339_or_none(row["started_at"]),
        ended_at=rfc3339_or_none(row["ended_at"]),
        cause=row["cause"],
        detail=row["detail"],
        price=row["price"],
    )


def _task(row: Any, attempts: dict[int, list[AttemptView]]) -> TaskView:
    state = TaskState(row["state"])
    body = msgspec.json.decode(row["body"], type=ReceiptBody) if row["body"] and state.ended else None
    work = body.work if body else None
    return TaskView(
        index=row["index"],
        state=state,
        outcome=work.outcome if work else None,
        exit_code=work.exit_code if work else None,
        signal=work.signal if work else None,
        outputs=list(work.outputs) if work else [],
        egress=body.run.egress if body else None,
        spent=row["spent"],
        attempts=attempts.get(row["index"], []),
    )


def _untouched(index: int, state: TaskState) -> TaskView:
    return TaskView(
        index=index,
        state=state,
        outcome=None,
        exit_code=None,
        signal=None,
        outputs=[],
        egress=None,
        spent=0,
        attempts=[],
    )
