"""How attempts end, decided purely: what is paid, what is given back, and what follows.

An attempt ends by a `Report` (the node says what happened, signed) or by a `Loss` (there will be no result). The
caller holds the job's row; what comes out is written in the same transaction.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from hypernode.jobs.lifecycle import AttemptState, History, Next, TaskState, after_loss, after_report, succeeded
from hypernode.jobs.model import JobDocument, check_path
from hypernode.jobs.outputs import Patterns
from hypernode.jobs.tally import Tally
from hypernode.kernel.errors import HypernodeError, InvalidInput, StaleLease
from hypernode.kernel.money import show
from hypernode.ledger.model import billed_ms, price, split, worst_price
from hypernode.ledger.receipt import Outcome, ReceiptBody, Split
from hypernode.nodes.model import Ask


class Ref(msgspec.Struct, frozen=True, order=True, gc=False):
    """One attempt."""

    job_id: UUID
    task: int
    epoch: int


class Report(msgspec.Struct, frozen=True):
    """A node's signed statement about an attempt; signature and form have been checked."""

    ref: Ref
    node: str
    body: ReceiptBody
    data: bytes
    """The canonical bytes of `body`."""
    signature: bytes


class Loss(msgspec.Struct, frozen=True):
    """There will be no result. `node`: who must hold the lease for this to count (a node speaks only for itself).
    `final`: it would be the same on every node, so the task fails; otherwise it is tried again within its retries."""

    ref: Ref
    node: str
    cause: str
    detail: str = ""
    final: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """An attempt as the database has it, with what a decision needs."""

    ref: Ref
    node: str
    operator: UUID
    live: bool
    current: bool
    ask: Ask
    remaining_cap: int
    infrastructure_failures: int
    job_failures: int
    spent: int
    evidence_ms: int

    @classmethod
    def of(cls, row: Any) -> Attempt:
        """From a row of `find_attempts`."""
        return cls(
            ref=Ref(row["job_id"], row["task"], row["epoch"]),
            node=row["node"],
            operator=row["operator"],
            live=row["attempt_state"] == AttemptState.LEASED,
            current=row["epoch"] == row["current_epoch"],
            ask=Ask(row["rate"], row["fixed"]),
            remaining_cap=row["remaining_cap"],
            infrastructure_failures=row["infrastructure_failures"],
            job_failures=row["job_failures"],
            spent=row["spent"],
            evidence_ms=row["evidence_ms"],
        )


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written about an attempt that ends."""

    attempt: Attempt
    attempt_state: AttemptState
    next: Next
    cause: str
    detail: str = ""
    infrastructure_failures: int
    job_failures: int
    split: Split | None = None
    """None when nothing is settled."""
    billed_ms: int = 0
    refund: int = 0
    """What goes back to the project because the task has ended."""
    remaining_cap: int = 0
    """What the next attempt may cost, if there is one."""

    @property
    def price(self) -> int:
        """What was paid for the attempt, in µHYPER."""
        return self.split.price if self.split else 0


def decide(item: Report | Loss, attempt: Attempt | None, tally: Tally, document: JobDocument) -> Ending:
    """What follows from a report or a loss. Raises StaleLease when the attempt is not (or no longer) this node's to
    end, and InvalidInput for a report that contradicts what was leased; both change nothing."""
    if attempt is None or item.node != attempt.node:
        raise StaleLease(f"node {item.node} does not hold this lease")
    if not (attempt.live and attempt.current):
        raise StaleLease(f"attempt {item.ref.epoch} has ended or was superseded; its report counts for nothing")
    history = History(attempt.infrastructure_failures, attempt.job_failures, tally.cancel_requested)
    if isinstance(item, Loss):
        return _lost(item, attempt, history, document)
    _check(item, tally, document)
    return _reported(item, attempt, history, tally, document)


def _lost(item: Loss, attempt: Attempt, history: History, document: JobDocument) -> Ending:
    if item.final:
        following = Next(TaskState.CANCELLED if history.cancel_requested else TaskState.FAILED)
    else:
        following = after_loss(history, document.retries)
    again = following.state is TaskState.QUEUED
    return Ending(
        attempt=attempt,
        attempt_state=AttemptState.LOST,
        next=following,
        cause=item.cause,
        detail=item.detail,
        infrastructure_failures=attempt.infrastructure_failures + (not item.final),
        job_failures=attempt.job_failures + item.final,
        refund=0 if again else attempt.remaining_cap,
        remaining_cap=attempt.remaining_cap if again else 0,
    )


def _reported(item: Report, attempt: Attempt, history: History, tally: Tally, document: JobDocument) -> Ending:
    work = item.body.work
    billed = billed_ms(item.body.run.wall_ms, attempt.evidence_ms, document.timeout_s)
    parts = split(price(attempt.ask, billed, attempt.remaining_cap), tally.shares)
    rest = attempt.remaining_cap - parts.price
    can_pay = rest >= worst_price(attempt.ask, document.timeout_s)
    following = after_report(work.outcome, work.exit_code, history, document.retries, can_pay)
    again = following.state is TaskState.QUEUED
    failed = again or following.state is TaskState.FAILED
    detail = ""
    if failed and not again and not can_pay and attempt.job_failures < document.retries.failures:
        detail = f"there were retries left, but {show(rest)} of the cap do not cover another attempt"
    return Ending(
        attempt=attempt,
        attempt_state=AttemptState.RETRIED if again else AttemptState.ACCEPTED,
        next=following,
        cause=work.outcome.value,
        detail=detail,
        infrastructure_failures=attempt.infrastructure_failures,
        job_failures=attempt.job_failures + failed,
        split=parts,
        billed_ms=billed,
        refund=0 if again else rest,
        remaining_cap=rest if again else 0,
    )


def _check(item: Report, tally: Tally, document: JobDocument) -> None:
    """A report must be about what was leased: this job, this task, this attempt, declared outputs only."""
    body, ref = item.body, item.ref
    said = (body.work.job, body.work.task, body.run.job_id, body.run.epoch, body.run.node)
    if said != (tally.content_id, ref.task, str(ref.job_id), ref.epoch, item.node):
        raise InvalidInput("the receipt is about another job, task, attempt or node than the lease")
    if body.work.outcome is Outcome.CANCELLED and not tally.cancel_requested:
        raise InvalidInput("the receipt says cancelled, which nobody asked for")
    if body.run.isolation < document.isolation:
        raise InvalidInput(f"the task ran at isolation {body.run.isolation} where {document.isolation} was asked for")
    if body.run.egress is not None and not document.egress:
        raise InvalidInput("the receipt speaks of traffic, where the job asked for none")
    declared = Patterns(document.outputs)
    absent = declared.missing(output.path for output in body.work.outputs)
    if absent and succeeded(body.work.outcome, body.work.exit_code):
        raise InvalidInput(f"the receipt says success without the declared output {absent[0]!r}")
    for output in body.work.outputs:
        try:
            check_path(output.path)
        except ValueError as error:
            raise InvalidInput(f"the receipt lists an impossible output: {error}") from error
        if not declared.match(output.path):
            raise InvalidInput(f"the receipt lists an output that was not declared: {output.path!r}")
    if len({output.path for output in body.work.outputs}) != len(body.work.outputs):
        raise InvalidInput("the receipt lists an output twice")


Answer = Ending | HypernodeError
"""What a caller gets for one item: what was written, or why nothing was."""
