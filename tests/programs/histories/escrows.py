"""Jobs on the embedded ledger: money held, paid by a receipt, given back.

Every decision is that of the jobs room (`hypernode.jobs.endings`), every transfer the ledger's. What is left out is
what moves no money: queues, leases, and how a report arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.jobs import endings
from hypernode.jobs.endings import Attempt, Ending, Loss, Ref, Report
from hypernode.jobs.lifecycle import JobState, TaskState
from hypernode.jobs.model import JobDocument, PythonRuntime, Retries, identify
from hypernode.jobs.tally import Tally
from hypernode.kernel.errors import InsufficientFunds
from hypernode.kernel.ids import uuid7
from hypernode.ledger.model import Transfer, worst_price
from hypernode.ledger.receipt import Outcome, ReceiptBody, Run, Work, encode_body
from hypernode.ledger.service import Ledger
from hypernode.ledger.service import post as write
from hypernode.nodes.model import Ask

NODE = "node"


async def post(pool: Pool, ledger: Ledger, people: Sequence[UUID], moves: Callable[[], list[Transfer]]) -> None:
    """Move money. Raises InsufficientFunds where the database lets no balance fall below zero."""

    async def work(connection: Connection) -> None:
        await ledger.know(connection, people)
        await write(connection, moves())

    try:
        await run_transaction(pool, work)
    except asyncpg.CheckViolationError as error:
        raise InsufficientFunds from error


class Escrows:
    """Jobs of one task each, by number."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        people: Sequence[UUID],
        run: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._pool, self._ledger, self._people, self._run = pool, ledger, people, run
        self._jobs: dict[int, tuple[Tally, JobDocument, Ask]] = {}

    def open(self, number: int, client: int, seconds: int, ask: Ask) -> None:
        """Hold the most that a job can cost."""
        cap = worst_price(ask, seconds)
        document = JobDocument(
            version=1, runtime=PythonRuntime(code="1"), cap=cap, retries=Retries(0, 0), timeout_s=seconds, isolation=0
        )
        tally = Tally(
            job_id=uuid7(), project_id=self._people[client], content_id=identify(document), size=1, cap=cap,
            started=False, succeeded=0, failed=0, cancelled=0, expired=0, held=cap, spent=0, state=JobState.QUEUED,
            cancel_requested=False, shares=self._ledger.shares,
        )  # fmt: skip
        self._post(lambda: self._ledger.hold(tally.project_id, tally.job_id, cap))
        self._jobs[number] = tally, document, ask

    def cancel(self, number: int) -> None:
        """Give back what was held for a job that nobody has taken."""
        tally, _, _ = self._jobs.pop(number)
        refund = tally.cap
        self._post(lambda: self._ledger.refund(tally.project_id, refund, tally.job_id))
        assert tally.end(TaskState.CANCELLED, refund)

    def settle(self, number: int, operator: int, claimed_s: int, passed_s: int) -> None:
        """Pay by a receipt that claims some seconds, of those that the coordinator saw pass."""
        tally, document, ask = self._jobs.pop(number)
        ref = Ref(tally.job_id, 0, 1)
        body = ReceiptBody(
            work=Work(job=tally.content_id, task=0, outcome=Outcome.EXITED, exit_code=0, signal=None, outputs=()),
            run=Run(
                job_id=str(tally.job_id), epoch=1, node=NODE, started_at_ms=0, ended_at_ms=0,
                wall_ms=claimed_s * 1_000, cpu_ms=0, memory_peak_bytes=0, log_bytes=0, log_root="0" * 64, sandbox="",
                isolation=0,
            ),
        )  # fmt: skip
        attempt = self._attempt(ref, operator, ask, tally, passed_s)
        report = Report(ref, NODE, body, encode_body(body), b"")
        ending = endings.decide(report, attempt, tally, document)
        split = ending.split
        assert split is not None
        tally.pay(ending.price)
        self._post(
            lambda: self._ledger.settle(tally.project_id, attempt.operator, split, ending.refund, tally.job_id, 0, 1)
        )
        self._end(tally, ending)

    def lose(self, number: int, operator: int) -> None:
        """Give back what was held for a job that there will be no result of."""
        tally, document, ask = self._jobs.pop(number)
        ref = Ref(tally.job_id, 0, 1)
        attempt = self._attempt(ref, operator, ask, tally, 0)
        ending = endings.decide(Loss(ref, NODE, "gone", final=True), attempt, tally, document)
        self._post(lambda: self._ledger.refund(tally.project_id, ending.refund, tally.job_id, 0, 1))
        self._end(tally, ending)

    def _attempt(self, ref: Ref, operator: int, ask: Ask, tally: Tally, passed_s: int) -> Attempt:
        return Attempt(
            ref=ref, node=NODE, operator=self._people[operator], live=True, current=True, ask=ask,
            remaining_cap=tally.cap, infrastructure_failures=0, job_failures=0, spent=0, evidence_ms=passed_s * 1_000,
        )  # fmt: skip

    @staticmethod
    def _end(tally: Tally, ending: Ending) -> None:
        assert tally.end(ending.next.state, ending.refund)

    def _post(self, moves: Callable[[], list[Transfer]]) -> None:
        self._run(post(self._pool, self._ledger, self._people, moves))
