"""Submitting: a job becomes queued in the transaction that holds its cap in escrow, or is not taken at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from hypernode.artifacts.service import ArtifactService
from hypernode.db.batch import Batcher
from hypernode.db.bulk import together
from hypernode.db.pool import CommitUnknown, Connection, Pool, run_transaction
from hypernode.db.uuids import uuid_of
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.jobs import store
from hypernode.jobs.model import JobDocument, bounded
from hypernode.jobs.service.documents import Documents, KnownJob
from hypernode.jobs.service.fresh import Fresh
from hypernode.kernel import limits
from hypernode.kernel.canonical import ContentId, content_id
from hypernode.kernel.errors import HypernodeError, InsufficientFunds
from hypernode.kernel.ids import uuid7_bytes
from hypernode.kernel.money import show
from hypernode.ledger import service as ledger_service
from hypernode.ledger.model import Shares
from hypernode.ledger.service import Ledger
from hypernode.market.fairness import delay_of
from hypernode.market.model import Ready, demand_of, needs_of
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import Answers, find_answers, remember_answers

REPETITION_S: Final = 1.0
"""For how long after a request that was repeated others may be."""
_ISOLATE: Final = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)


class Submission(msgspec.Struct, frozen=True):
    """One job on its way in."""

    project_id: UUID
    document: JobDocument
    data: bytes
    content_id: ContentId
    idempotency: Idempotency | None

    @property
    def hold(self) -> int:
        """What goes into escrow: the cap of every task."""
        return self.document.cap * self.document.size


class Terms(msgspec.Struct, frozen=True):
    """What holds for a job from the moment it is taken: when that was, and how its prices are split."""

    submitted_at: datetime
    shares: Shares


class Taken(msgspec.Struct, frozen=True):
    """A job that was taken: now, or (`terms` None) by an earlier request with the same idempotency key."""

    job_id: UUID
    terms: Terms | None


def prepare(project_id: UUID, document: JobDocument, data: bytes, idempotency: Idempotency | None) -> Submission:
    """A submission of a document, of which `data` are the canonical bytes. Raises TooLarge."""
    bounded(data)
    return Submission(project_id, document, data, content_id(data), idempotency)


class Submissions:
    """Takes jobs. Concurrent submissions are written together."""

    def __init__(
        self, pool: Pool, ledger: Ledger, artifacts: ArtifactService, documents: Documents, fresh: Fresh, hints: Hints
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._artifacts = artifacts
        self._documents = documents
        self._fresh = fresh
        self._repeated_until = 0.0
        self._hints = hints
        self._batcher: Batcher[Submission, Taken] = Batcher(
            self._flush,
            max_items=limits.FLUSH_ITEMS * 4,
            max_queue=limits.QUEUE_ITEMS,
            isolate=_ISOLATE,
            name="submissions",
        )

    async def earlier(
        self, project_id: UUID, idempotencies: Sequence[Idempotency | None]
    ) -> list[Taken | HypernodeError | None]:
        """The jobs that these very requests made before, each in its place; IdempotencyMismatch where the key came with
        another request."""
        keys = [(project_id, one) for one in idempotencies if one is not None]
        if not keys:
            return [None] * len(idempotencies)
        async with self._pool.acquire() as connection:
            answers = await find_answers(connection, keys)
        found: list[Taken | HypernodeError | None] = []
        for one in idempotencies:
            try:
                job_id = answers.match(project_id, one)
                found.append(None if job_id is None else Taken(job_id, None))
            except HypernodeError as error:
                found.append(error)
        return found

    async def submit(self, submission: Submission) -> Taken:
        """Take one job; when this returns, the job is not lost any more.

        With an idempotency key the same request gets the same job. Raises InvalidInput for artifacts the project does
        not have, InsufficientFunds, IdempotencyMismatch, Overloaded.
        """
        if submission.document.artifacts:
            await self._artifacts.require(submission.project_id, submission.document.artifacts)
        return await self._batcher.submit(submission)

    async def submit_many(self, submissions: Sequence[Submission]) -> list[Taken | HypernodeError]:
        """Take several jobs, each for itself; what is refused says why in its place."""
        refused: dict[int, HypernodeError] = {}
        for index, submission in enumerate(submissions):
            try:
                if submission.document.artifacts:
                    await self._artifacts.require(submission.project_id, submission.document.artifacts)
            except HypernodeError as error:
                refused[index] = error
        taken = [submission for index, submission in enumerate(submissions) if index not in refused]
        answers = iter(await self._batcher.submit_many(taken))
        results: list[Taken | HypernodeError] = []
        for index in range(len(submissions)):
            answer = refused[index] if index in refused else next(answers)
            if not isinstance(answer, Taken | HypernodeError):
                raise answer
            results.append(answer)
        return results

    async def close(self) -> None:
        """Write what was taken in."""
        await self._batcher.close()

    async def _flush(self, items: list[Submission]) -> list[Taken | Exception]:
        try:
            answers, ready = await self._take(items)
        except CommitUnknown:
            self._fresh.put(None)
            raise
        self._documents.stored(
            item.content_id
            for item, answer in zip(items, answers, strict=True)
            if isinstance(answer, Taken) and answer.terms is not None
        )
        self._fresh.put(ready)
        self._hints.ready.give()
        self._hints.events.give({item.project_id for item in items})
        return answers

    async def _take(self, items: list[Submission]) -> tuple[list[Taken | Exception], list[Ready] | None]:
        """The answers, and the work that is ready now (None if that is not known).

        Hardly any request comes twice, so the database's refusal to keep a key again is what tells of one that does.
        From then on earlier answers are looked for first, for a while: repetition costs others one attempt, no more.
        """
        if time.monotonic() >= self._repeated_until:
            try:
                return await run_transaction(self._pool, lambda connection: self._write(connection, items, look=False))
            except asyncpg.UniqueViolationError as error:
                if error.table_name != "idempotency":
                    raise
                self._repeated_until = time.monotonic() + REPETITION_S
        return await run_transaction(self._pool, lambda connection: self._write(connection, items, look=True))

    async def _write(
        self, connection: Connection, items: list[Submission], *, look: bool
    ) -> tuple[list[Taken | Exception], list[Ready] | None]:
        keys = [(item.project_id, item.idempotency) for item in items if item.idempotency]
        projects = {item.project_id for item in items}
        await self._ledger.know(connection, projects)
        available, at = await ledger_service.lock_available(connection, list(projects))
        terms = Terms(at, self._ledger.shares)
        earlier = await find_answers(connection, keys) if look else Answers([])
        answers, taken = _decide(items, earlier, dict(available), terms)
        if not look and any(isinstance(answer, Exception) for answer in answers):
            # What would be refused may have been taken before.
            answers, taken = _decide(items, await find_answers(connection, keys), available, terms)
        return answers, await self._insert(connection, taken, terms) if taken else []

    async def _insert(
        self, connection: Connection, taken: list[tuple[UUID, Submission]], terms: Terms
    ) -> list[Ready] | None:
        demands = [demand_of(item.document, item.document.cap) for _, item in taken]
        jobs = [
            store.NewJob(
                id=job_id,
                project_id=item.project_id,
                content_id=item.content_id,
                name=item.document.name,
                labels=item.document.labels,
                size=item.document.size,
                cap=item.document.cap,
                shape=demand.shape,
                turn_s=delay_of(item.document.priority, item.document.timeout_s),
            )
            for (job_id, item), demand in zip(taken, demands, strict=True)
        ]
        new = {item.content_id: item.data for _, item in taken if not self._documents.is_stored(item.content_id)}
        holds = [move for job_id, item in taken for move in self._ledger.hold(item.project_id, job_id, item.hold)]
        made = [(item.project_id, item.idempotency, job_id) for job_id, item in taken if item.idempotency]
        async with together(connection) as writes:
            await store.insert_documents(writes, new)
            await store.insert_jobs(writes, jobs, terms.submitted_at, terms.shares)
            await record(writes, [Event(item.project_id, "job.submitted", job_id) for job_id, item in taken])
            await ledger_service.post(writes, holds)
            await remember_answers(writes, made)
            await store.insert_ready(writes, jobs, terms.submitted_at)  # the last, since its rows are wanted
        for job_id, item in taken:
            self._documents.remember(job_id, KnownJob(item.project_id, item.data, item.document))
        queued = {row["job_id"]: row["id"] for row in writes.rows}
        if len(queued) < len(jobs):
            return None
        return [
            Ready(
                queue_id=queued[job.id],
                job_id=job.id,
                first=0,
                beyond=job.size,
                demand=demand,
                shape=job.shape,
                project=job.project_id,
                rank=job.turn_at(terms.submitted_at).timestamp(),
                needs=needs_of(item.document),
            )
            for job, demand, (_, item) in zip(jobs, demands, taken, strict=True)
        ]


def _decide(
    items: Sequence[Submission], earlier: Answers, available: dict[UUID, int], terms: Terms
) -> tuple[list[Taken | Exception], list[tuple[UUID, Submission]]]:
    answers: list[Taken | Exception] = []
    taken: list[tuple[UUID, Submission]] = []
    for item in items:
        try:
            known = earlier.match(item.project_id, item.idempotency)
            if known is not None:
                answers.append(Taken(known, None))
                continue
            if available[item.project_id] < item.hold:
                raise InsufficientFunds(
                    f"the job holds {show(item.hold)} (cap {show(item.document.cap)} × {item.document.size} tasks) "
                    f"where {show(available[item.project_id])} are available"
                )
        except HypernodeError as error:
            answers.append(error)
            continue
        available[item.project_id] -= item.hold
        job_id = uuid_of(uuid7_bytes())
        earlier.add(item.project_id, item.idempotency, job_id)
        taken.append((job_id, item))
        answers.append(Taken(job_id, terms))
    return answers, taken
