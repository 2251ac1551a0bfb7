"""The statements of jobs, tasks, attempts and settlements. No other room reads or writes their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql
from hypernode.events.model import Event
from hypernode.jobs.endings import Ending, Ref
from hypernode.jobs.tally import Tally
from hypernode.kernel import limits
from hypernode.kernel.errors import InvariantViolated
from hypernode.market.model import Assignment

queries: Final = load_sql(__package__)


class NewJob(msgspec.Struct, frozen=True):
    """A job to be written."""

    id: UUID
    project_id: UUID
    content_id: str
    name: str
    document: bytes
    labels: dict[str, str]
    size: int
    cap: int
    shape: int


class Lease(msgspec.Struct, frozen=True):
    """An attempt to be written: an assignment with the terms it is made on."""

    assignment: Assignment
    rate: int
    fixed: int
    deadline_ms: int


async def insert_jobs(connection: Connection, jobs: Sequence[NewJob]) -> dict[UUID, Any]:
    """Write jobs with their ready work and events. Returns when each was taken, by the database's clock."""
    rows = await connection.fetch(
        queries.insert_jobs,
        [j.id for j in jobs],
        [j.project_id for j in jobs],
        [bytes.fromhex(j.content_id) for j in jobs],
        [j.name for j in jobs],
        [j.document for j in jobs],
        [msgspec.json.encode(j.labels) for j in jobs],
        [j.size for j in jobs],
        [j.cap for j in jobs],
        [j.shape for j in jobs],
    )
    return {row["id"]: row["submitted_at"] for row in rows}


async def lock_jobs(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Tally]:
    """Hold jobs until the transaction ends, in the order of their ids."""
    rows = await connection.fetch(queries.lock_jobs, list(set(job_ids)))
    return {row["id"]: Tally.of(row) for row in rows}


async def find_attempts(connection: Connection, refs: Sequence[Ref]) -> dict[Ref, Any]:
    """Attempts with all that a decision about their end needs."""
    rows = await connection.fetch(
        queries.find_attempts,
        [r.job_id for r in refs],
        [r.task for r in refs],
        [r.epoch for r in refs],
        limits.EVIDENCE_GAP_MS,
    )
    return {Ref(row["job_id"], row["task"], row["epoch"]): row for row in rows}


async def end_attempts(connection: Connection, endings: Sequence[Ending]) -> None:
    """Write that attempts ended and where their tasks go. Raises InvariantViolated if one was not live after all."""
    row = await connection.fetchrow(
        queries.end_attempts,
        [e.attempt.ref.job_id for e in endings],
        [e.attempt.ref.task for e in endings],
        [e.attempt.ref.epoch for e in endings],
        [e.attempt_state.value for e in endings],
        [e.next.state.value for e in endings],
        [e.cause for e in endings],
        [e.detail for e in endings],
        [e.infrastructure_failures for e in endings],
        [e.job_failures for e in endings],
        [e.attempt.spent + e.price for e in endings],
    )
    if row["attempts"] != len(endings) or row["tasks"] != len(endings):
        raise InvariantViolated(f"{len(endings)} attempts were to end, {row['attempts']} did")


async def update_jobs(connection: Connection, tallies: Sequence[Tally]) -> None:
    """Write what the tasks of jobs add up to."""
    await connection.execute(
        queries.update_jobs,
        [t.job_id for t in tallies],
        [t.succeeded for t in tallies],
        [t.failed for t in tallies],
        [t.cancelled for t in tallies],
        [t.expired for t in tallies],
        [t.held for t in tallies],
        [t.spent for t in tallies],
        [t.state.value for t in tallies],
        [t.state.ended for t in tallies],
    )


async def requeue(connection: Connection, entries: Sequence[tuple[Ref, int, int, int]]) -> None:
    """Queue tasks again: (attempt that ended, delay in ms, shape, what is left of the cap)."""
    if entries:
        await connection.execute(
            queries.requeue,
            [ref.job_id for ref, *_ in entries],
            [ref.task for ref, *_ in entries],
            [delay for _, delay, _, _ in entries],
            [shape for _, _, shape, _ in entries],
            [cap for *_, cap in entries],
        )


async def take_ranges(connection: Connection, ranges: Sequence[tuple[int, int, int]]) -> set[int]:
    """Take the first n tasks of queue rows: (row, the first task it should begin with, n). Returns the rows taken."""
    rows = await connection.fetch(
        queries.take_ranges, [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]
    )
    return {row["id"] for row in rows}


async def insert_attempts(connection: Connection, leases: Sequence[Lease]) -> dict[tuple[UUID, int], int]:
    """Lease tasks to nodes. Returns the epoch of each (job, task)."""
    rows = await connection.fetch(
        queries.insert_attempts,
        [x.assignment.ready.job_id for x in leases],
        [x.assignment.task for x in leases],
        [x.assignment.node for x in leases],
        [x.rate for x in leases],
        [x.fixed for x in leases],
        [x.assignment.ready.demand.remaining_cap for x in leases],
        [x.deadline_ms for x in leases],
    )
    return {(row["job_id"], row["task"]): row["epoch"] for row in rows}


async def mark_running(connection: Connection, items: Sequence[tuple[Ref, str]]) -> dict[Ref, Event | None]:
    """Attempts whose process has started, each said by the node that holds it. Returns those that are held, each with
    the event to be written, or None if it was known to run."""
    rows = await connection.fetch(
        queries.mark_running,
        [ref.job_id for ref, _ in items],
        [ref.task for ref, _ in items],
        [ref.epoch for ref, _ in items],
        [node for _, node in items],
    )
    return {
        Ref(row["job_id"], row["task"], row["epoch"]): Event(
            row["project_id"], "task.running", row["job_id"], row["task"], row["epoch"], row["node"]
        )
        if row["fresh"]
        else None
        for row in rows
    }
