"""The statements of jobs, tasks, attempts and settlements. No other room reads or writes their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from hypernode.db.bulk import Writer, insert_rows
from hypernode.db.pool import Connection, Pool, run_statement
from hypernode.db.sql import load_sql
from hypernode.jobs.endings import Ending, Loss, Ref, Report
from hypernode.jobs.tally import Tally
from hypernode.kernel import limits
from hypernode.kernel.canonical import ContentId
from hypernode.kernel.errors import InvariantViolated
from hypernode.ledger.model import Shares
from hypernode.market.fairness import RETRY_S
from hypernode.market.model import Assignment

queries: Final = load_sql(__package__)
_LEASE: Final = queries.lease


class NewJob(msgspec.Struct, frozen=True):
    """A job to be written."""

    id: UUID
    project_id: UUID
    content_id: str
    name: str
    labels: dict[str, str]
    size: int
    cap: int
    shape: int
    turn_s: float
    """How long after its submission its turn comes."""

    def turn_at(self, submitted_at: datetime) -> datetime:
        """When its turn comes."""
        return submitted_at + timedelta(seconds=self.turn_s)


class Lease(msgspec.Struct, frozen=True):
    """An attempt to be written: an assignment with the terms it is made on."""

    assignment: Assignment
    rate: int
    fixed: int
    deadline_ms: int


class Settlement(msgspec.Struct, frozen=True):
    """A settlement to be written: what was paid for an attempt, and the receipt that justifies it."""

    report: Report
    price: int
    billed_ms: int
    decision: bytes
    """Its canonical bytes."""
    signature: bytes
    """The coordinator's."""


_JOB: Final = (
    "id",
    "project_id",
    "content_id",
    "name",
    "labels",
    "size",
    "cap",
    "held",
    "turn_s",
    "submitted_at",
    "treasury_bps",
    "incentive_bps",
    "stakers_bps",
)
_READY: Final = ("job_id", "first", "beyond", "ready_at", "shape", "remaining_cap", "project_id", "turn_at")
_SETTLEMENT: Final = (
    "job_id",
    "task",
    "epoch",
    "node",
    "price",
    "billed_ms",
    "body",
    "node_signature",
    "decision",
    "coordinator_signature",
)


async def insert_documents(writer: Writer, documents: Mapping[ContentId, bytes]) -> None:
    """Write those of these documents that are not there."""
    if documents:
        ordered = sorted(documents.items())  # one order for all, so that two who write the same do not block each other
        await writer.execute(
            queries.insert_documents, [bytes.fromhex(name) for name, _ in ordered], [data for _, data in ordered]
        )


async def insert_jobs(writer: Writer, jobs: Sequence[NewJob], at: datetime, shares: Shares) -> None:
    """Write jobs, submitted `at` by the database's clock. Their prices will be split by `shares`."""
    parts = shares.treasury_bps, shares.incentive_bps, shares.stakers_bps
    made = [
        (
            j.id,
            j.project_id,
            bytes.fromhex(j.content_id),
            j.name,
            msgspec.json.encode(j.labels) if j.labels else None,
            j.size,
            j.cap,
            j.cap * j.size,
            j.turn_s,
            at,
            *parts,
        )
        for j in jobs
    ]
    await insert_rows(writer, "job", _JOB, queries.insert_jobs, made)


async def insert_ready(writer: Writer, jobs: Sequence[NewJob], at: datetime) -> None:
    """Write the ready work of new jobs: one range a job, however large. Unless there are so many that they go by COPY,
    `id` and `job_id` of each are returned."""
    ready = [(j.id, 0, j.size, at, j.shape, j.cap, j.project_id, j.turn_at(at)) for j in jobs]
    await insert_rows(writer, "queue", _READY, queries.insert_ready, ready)


async def lock_jobs(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Tally]:
    """Hold jobs until the transaction ends, in the order of their ids."""
    rows = await connection.fetch(queries.lock_jobs, list(set(job_ids)))
    return {row["id"]: Tally.of(row) for row in rows}


async def find_attempts(connection: Connection, items: Sequence[Report | Loss]) -> dict[Ref, Any]:
    """Attempts with all that a decision about their end needs, those of the nodes that speak of them."""
    refs = [item.ref for item in items]
    rows = await connection.fetch(
        queries.find_attempts,
        [r.job_id for r in refs],
        [r.task for r in refs],
        [r.epoch for r in refs],
        limits.EVIDENCE_GAP_MS,
        list({item.node for item in items}),
    )
    return {Ref(row["job_id"], row["task"], row["epoch"]): row for row in rows}


async def end_attempts(connection: Connection, endings: Sequence[Ending]) -> None:
    """Write that attempts ended and where their tasks go. Raises InvariantViolated if one was not live after all."""
    refs = [e.attempt.ref for e in endings]
    attempts, tasks = await connection.fetchrow(
        queries.end_attempts,
        [r.job_id for r in refs],
        [r.task for r in refs],
        [r.epoch for r in refs],
        [e.attempt_state.value for e in endings],
        [e.cause for e in endings],
        [e.detail for e in endings],
        [e.next.state.value for e in endings],
        [e.infrastructure_failures for e in endings],
        [e.job_failures for e in endings],
        [e.attempt.spent + e.price for e in endings],
    )
    if attempts != len(endings) or tasks != len(endings):
        raise InvariantViolated(f"of {len(endings)} attempts {attempts} could end, and {tasks} of their tasks")


async def update_jobs(writer: Writer, tallies: Sequence[Tally]) -> None:
    """Write what the tasks of jobs add up to."""
    await writer.execute(
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


async def requeue(writer: Writer, entries: Sequence[tuple[Ref, int, int, int]]) -> None:
    """Queue tasks again: (attempt that ended, delay in ms, shape, what is left of the cap)."""
    if entries:
        await writer.execute(
            queries.requeue,
            [ref.job_id for ref, *_ in entries],
            [ref.task for ref, *_ in entries],
            [delay for _, delay, _, _ in entries],
            [shape for _, _, shape, _ in entries],
            [cap for *_, cap in entries],
            RETRY_S,
        )


async def lease(
    pool: Pool, leases: Sequence[Lease], sessions: Mapping[str, UUID]
) -> tuple[dict[tuple[UUID, int], int], set[str]]:
    """Lease tasks to nodes that speak through these sessions, in a transaction of its own. Returns the epoch of each
    (job, task) that could be leased, and the nodes that are not alive. Raises CommitUnknown."""
    assignments = [x.assignment for x in leases]
    nodes = sorted({a.node for a in assignments})
    rows = await run_statement(
        pool,
        _LEASE,
        [a.ready.queue_id for a in assignments],
        [a.ready.job_id for a in assignments],
        [a.task for a in assignments],
        [a.node for a in assignments],
        [x.rate for x in leases],
        [x.fixed for x in leases],
        list({a.ready.job_id for a in assignments}),
        nodes,
        [sessions[node] for node in nodes],
        [a.ready.demand.remaining_cap for a in assignments],
        [x.deadline_ms for x in leases],
    )
    epochs = {(row["job_id"], row["task"]): row["epoch"] for row in rows if row["epoch"] is not None}
    return epochs, {row["node"] for row in rows if not row["alive"]}


async def insert_settlements(writer: Writer, settlements: Sequence[Settlement]) -> None:
    """Write settlements; each attempt has one at most."""
    await insert_rows(
        writer,
        "settlement",
        _SETTLEMENT,
        queries.insert_settlements,
        [
            (
                s.report.ref.job_id,
                s.report.ref.task,
                s.report.ref.epoch,
                s.report.node,
                s.price,
                s.billed_ms,
                s.report.data,
                s.report.signature,
                s.decision,
                s.signature,
            )
            for s in settlements
        ],
    )


async def find_settlements(connection: Connection, refs: Sequence[Ref]) -> dict[Ref, Any]:
    """The settlements of those of these attempts that were settled."""
    rows = await connection.fetch(
        queries.find_settlements, [r.job_id for r in refs], [r.task for r in refs], [r.epoch for r in refs]
    )
    return {Ref(row["job_id"], row["task"], row["epoch"]): row for row in rows}


async def mark_running(connection: Connection, items: Sequence[tuple[Ref, str]]) -> dict[Ref, str]:
    """Attempts whose process has started, each said by the node that holds it. Returns those for which that is new,
    with their nodes."""
    rows = await connection.fetch(queries.mark_running, *_said(items), list({node for _, node in items}))
    return {Ref(row["job_id"], row["task"], row["epoch"]): row["node"] for row in rows}


async def find_running(connection: Connection, items: Sequence[tuple[Ref, str]]) -> set[Ref]:
    """Those of these attempts that their nodes hold and that are known to run."""
    rows = await connection.fetch(queries.find_running, *_said(items))
    return {Ref(row["job_id"], row["task"], row["epoch"]) for row in rows}


def _said(items: Sequence[tuple[Ref, str]]) -> tuple[list[UUID], list[int], list[int], list[str]]:
    return (
        [ref.job_id for ref, _ in items],
        [ref.task for ref, _ in items],
        [ref.epoch for ref, _ in items],
        [node for _, node in items],
    )
