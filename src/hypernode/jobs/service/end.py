"""Ending attempts: accepting a result, writing the ledger and ending the attempt is one transaction.

Reports and losses go through one batch, so that they cannot overtake each other, and every batch locks its jobs in
one order. Nothing is decided here: `jobs.endings` decides, this writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from hypernode.artifacts.service import ArtifactService
from hypernode.db.batch import Batcher
from hypernode.db.bulk import together
from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.jobs import endings, store
from hypernode.jobs.endings import Attempt, Ending, Loss, Ref, Report
from hypernode.jobs.lifecycle import AttemptState, TaskState
from hypernode.jobs.model import JobDocument
from hypernode.jobs.service.documents import Documents, KnownJob
from hypernode.jobs.store import queries
from hypernode.jobs.tally import Tally
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, InvalidInput, InvariantViolated, StaleLease
from hypernode.kernel.keys import KeyPair
from hypernode.ledger import service as ledger_service
from hypernode.ledger.model import Transfer
from hypernode.ledger.receipt import COORDINATOR_CONTEXT, Decision, countersigned, encode_decision
from hypernode.ledger.service import Ledger
from hypernode.market.model import demand_of

_ISOLATE: Final = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, HypernodeError)


class Settled(msgspec.Struct, frozen=True):
    """What became of an attempt: what it cost and what its operator got, in µHYPER, and where its task went."""

    price: int
    operator: int
    state: TaskState | None


class _Writes(msgspec.Struct):
    """What one transaction is going to write."""

    endings: list[tuple[Ending, Tally, JobDocument]] = []
    transfers: list[Transfer] = []
    events: list[Event] = []
    settlements: list[store.Settlement] = []
    earned: dict[str, int] = {}
    """What nodes earned."""


class _Found(msgspec.Struct):
    """What one transaction found, holding the jobs."""

    tallies: dict[UUID, Tally]
    jobs: dict[UUID, KnownJob]
    attempts: dict[Ref, asyncpg.Record]
    settled: dict[Ref, asyncpg.Record]
    """Those of the attempts that were settled before."""
    delivered: dict[tuple[UUID, str], int] = {}
    """Sizes of the outputs that reports name, as the coordinators have them, each in the scope of its project."""
    done: set[Ref] = set()
    """What ends in this very transaction."""


class Endings:
    """Ends attempts, once each."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        artifacts: ArtifactService,
        documents: Documents,
        hints: Hints,
        key: KeyPair,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._artifacts = artifacts
        self._documents = documents
        self._hints = hints
        self._key = key
        self._now_ms = now_ms
        self._batcher: Batcher[Report | Loss, Settled] = Batcher(
            self._flush,
            max_items=limits.FLUSH_ITEMS * 4,
            max_queue=limits.QUEUE_ITEMS,
            isolate=_ISOLATE,
            name="endings",
        )

    def end(self, item: Report | Loss) -> asyncio.Future[Settled]:
        """Settle a report or take a loss. A report that was settled before gets the same answer again.

        The answer may be StaleLease when the lease is not this node's to end, InvalidInput when the report contradicts
        it or names outputs that were never delivered; then nothing is written and nothing is paid. Raises Overloaded.
        """
        return self._batcher.put(item)

    async def close(self) -> None:
        """Write what was taken in."""
        await self._batcher.close()

    async def _flush(self, items: list[Report | Loss]) -> Sequence[Settled | Exception]:
        answers, projects = await run_transaction(self._pool, lambda connection: self._write(connection, items))
        self._hints.events.give(projects)
        self._hints.ready.give()
        return answers

    async def _write(
        self, connection: Connection, items: list[Report | Loss]
    ) -> tuple[list[Settled | Exception], set[UUID]]:
        found = await self._find(connection, items)
        writes = _Writes()
        answers: list[Settled | Exception] = []
        for item in items:
            try:
                answers.append(self._answer(item, found, writes))
            except InvariantViolated:
                raise  # what is collected so far can't be trusted: nothing of it may be written
            except HypernodeError as error:
                answers.append(error)
        await self._apply(connection, writes)
        return answers, {event.project_id for event in writes.events}

    async def _find(self, connection: Connection, items: Sequence[Report | Loss]) -> _Found:
        tallies = await store.lock_jobs(connection, [item.ref.job_id for item in items])
        attempts = await store.find_attempts(connection, items)
        ended = [ref for ref, row in attempts.items() if row["attempt_state"] != AttemptState.LEASED]
        found = _Found(
            tallies,
            await self._documents.find(connection, tallies),
            attempts,
            await store.find_settlements(connection, ended) if ended else {},
            await self._delivered(connection, items, tallies),
        )
        projects = {tally.project_id for tally in tallies.values()}
        await self._ledger.know(connection, projects | {row["operator"] for row in attempts.values()})
        return found

    def _answer(self, item: Report | Loss, found: _Found, writes: _Writes) -> Settled:
        if isinstance(item, Report) and (before := found.settled.get(item.ref)) is not None:
            return _settled_before(item, before)
        if item.ref in found.done:
            raise StaleLease("the attempt has just ended")
        tally, row = found.tallies.get(item.ref.job_id), found.attempts.get(item.ref)
        if tally is None or row is None:
            raise StaleLease("there is no such lease")
        document = found.jobs[item.ref.job_id].document
        ending = endings.decide(item, Attempt.of(row), tally, document)
        if isinstance(item, Report):
            for output in item.body.work.outputs:
                if found.delivered.get((tally.project_id, output.sha256)) != output.size_bytes:
                    raise InvalidInput(f"output {output.path!r} was never delivered, or has another size")
        found.done.add(item.ref)
        self._collect(item, ending, tally, document, writes)
        return Settled(ending.price, ending.split.operator if ending.split else 0, ending.next.state)

    def _collect(
        self, item: Report | Loss, ending: Ending, tally: Tally, document: JobDocument, writes: _Writes
    ) -> None:
        """Note everything that must be written for one ending."""
        ref, project = item.ref, tally.project_id
        if ending.split is not None and isinstance(item, Report):
            tally.pay(ending.price)
            decision = Decision(
                accepted_at_ms=self._now_ms(),
                billed_ms=ending.billed_ms,
                rate_per_second=ending.attempt.ask.rate_per_second,
                fixed=ending.attempt.ask.fixed,
                split=ending.split,
                coordinator=self._key.public,
            )
            data = encode_decision(decision)
            signature = self._key.sign(COORDINATOR_CONTEXT, countersigned(item.data, data))
            writes.settlements.append(store.Settlement(item, ending.price, ending.billed_ms, data, signature))
            writes.earned[item.node] = writes.earned.get(item.node, 0) + ending.split.operator
            writes.transfers += self._ledger.settle(
                project, ending.attempt.operator, ending.split, ending.refund, ref.job_id, ref.task, ref.epoch
            )
        else:
            writes.transfers += self._ledger.refund(project, ending.refund, ref.job_id, ref.task, ref.epoch)
        writes.endings.append((ending, tally, document))
        job_ended = ending.next.state.ended and tally.end(ending.next.state, ending.refund)
        writes.events.append(
            Event(
                project,
                _KINDS[ending.attempt_state],
                ref.job_id,
                ref.task,
                ref.epoch,
                item.node,
                {
                    "cause": ending.cause,
                    "detail": ending.detail,
                    "state": ending.next.state.value,
                    "price": ending.price,
                    "billed_ms": ending.billed_ms,
                    "refund": ending.refund,
                    "retry_in_ms": ending.next.delay_ms,
                    "exit_code": item.body.work.exit_code if isinstance(item, Report) else None,
                },
            )
        )
        if job_ended:
            writes.events.append(
                Event(project, "job.ended", ref.job_id, data={"state": tally.state.value, "spent": tally.spent})
            )

    async def _apply(self, connection: Connection, writes: _Writes) -> None:
        if not writes.endings:
            return
        await store.end_attempts(connection, [ending for ending, _, _ in writes.endings])
        tallies = {id(tally): tally for _, tally, _ in writes.endings}
        again = [
            (e.attempt.ref, e.next.delay_ms, demand_of(document, e.remaining_cap).shape, e.remaining_cap)
            for e, _, document in writes.endings
            if e.next.state is TaskState.QUEUED
        ]
        async with together(connection) as rest:
            await store.insert_settlements(rest, writes.settlements)
            if writes.earned:
                await rest.execute(queries.pay_nodes, list(writes.earned), list(writes.earned.values()))
            await store.requeue(rest, again)
            await store.update_jobs(rest, list(tallies.values()))
            await record(rest, writes.events)
            await ledger_service.post(rest, writes.transfers)

    async def _delivered(
        self, connection: Connection, items: Sequence[Report | Loss], tallies: dict[UUID, Tally]
    ) -> dict[tuple[UUID, str], int]:
        named: dict[UUID, set[str]] = {}
        for item in items:
            if isinstance(item, Report) and item.ref.job_id in tallies:
                hashes = named.setdefault(tallies[item.ref.job_id].project_id, set())
                hashes.update(output.sha256 for output in item.body.work.outputs)
        found: dict[tuple[UUID, str], int] = {}
        for project_id, hashes in named.items():
            if hashes:
                held = await self._artifacts.held_within(connection, project_id, hashes)
                found |= {(project_id, sha256): size for sha256, size in held.items()}
        return found


def _settled_before(item: Report, row: asyncpg.Record) -> Settled:
    if row["node"] != item.node or row["node_signature"] != item.signature:
        raise StaleLease("the attempt was settled with another report")
    decision = msgspec.json.decode(row["decision"], type=Decision)
    return Settled(decision.split.price, decision.split.operator, TaskState(row["task_state"]))


_KINDS: Final = {
    AttemptState.ACCEPTED: "task.accepted",
    AttemptState.RETRIED: "task.retried",
    AttemptState.LOST: "task.lost",
}
