"""What the jobs API answers. Times are RFC 3339 in UTC with milliseconds; amounts are integers of µHYPER."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hypernode.jobs.lifecycle import AttemptState, JobState, TaskState
from hypernode.jobs.model import JobDocument
from hypernode.kernel import limits
from hypernode.kernel.errors import Problem
from hypernode.ledger.model import Shares
from hypernode.ledger.receipt import Outcome, OutputFile, Traffic


class TaskCounts(msgspec.Struct, frozen=True):
    """How many tasks of a job are where."""

    queued: int
    live: int
    """leased or running"""
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    id: str
    content_id: str
    name: str
    state: JobState
    tasks: TaskCounts
    size: int
    cap: int
    """Per task."""
    held: int
    """What is in escrow for it now."""
    spent: int
    shares: Shares
    """How each accepted price is split. Later votes change nothing about it."""
    labels: dict[str, str]
    submitted_at: str
    ended_at: str | None
    document: JobDocument | None = None
    """Only when one job is asked for, not in lists."""


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs, newest first; `next` continues after it."""

    items: list[JobView]
    next: str | None


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several jobs at once. Each is taken or refused by itself."""

    jobs: Annotated[list[Any], Meta(min_length=1, max_length=limits.BATCH_JOBS)]


class BatchItem(msgspec.Struct, frozen=True):
    """What became of one job of a batch: either it was taken, or the problem says why not."""

    job: JobView | None
    problem: Problem | None


class BatchView(msgspec.Struct, frozen=True):
    """In the order of the request."""

    items: list[BatchItem]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a task."""

    epoch: int
    node: str
    state: AttemptState
    leased_at: str
    started_at: str | None
    ended_at: str | None
    cause: str
    """Code of why it ended, empty while it lives."""
    detail: str
    price: int


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a job, with its attempts."""

    index: int
    state: TaskState
    outcome: Outcome | None
    exit_code: int | None
    signal: int | None
    outputs: list[OutputFile]
    egress: Traffic | None = None
    """Of the attempt whose result it is; null where the job asks for no network."""
    spent: int
    attempts: list[AttemptView]


class TaskPage(msgspec.Struct, frozen=True):
    """One page of tasks by index; `next` continues after it."""

    items: list[TaskView]
    next: str | None


class NodeQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What one eligible node would cost."""

    node: str
    name: str
    rate_per_second: int
    fixed: int
    worst_price: int
    """For the whole timeout, per task."""
    available_now: bool


class Exclusion(msgspec.Struct, frozen=True):
    """The first thing that keeps a class of nodes from running a job, and what would change that."""

    code: str
    nodes: int
    reason: str
    remedy: str


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would cost at worst, and who could run it. Nothing is taken by asking."""

    content_id: str
    tasks: int
    eligible: list[NodeQuote]
    excluded: list[Exclusion]
    cheapest_worst_price: int | None
    """Per task, on the cheapest eligible node; what `cap` must at least be."""
    hold: int
    """What submitting would put into escrow: cap times tasks."""
    cap_short_by: int
    """How much `cap` is too low for every node that could otherwise run it; 0 if it is not."""
    available: int
    """The project's available balance."""
    can_submit: bool


class Explanation(msgspec.Struct, frozen=True):
    """Why a job is as it is, in sentences, oldest first."""

    job_id: str
    sentences: list[str]
    excluded: list[Exclusion]


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Data of a `log` event. `data` is base64; `offset` is where the next frame begins."""

    task: int
    epoch: int
    offset: int
    stream: int
    at_ms: int
    data: bytes


class LogEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the `end` event: no more log will come."""

    task: int
    state: TaskState
