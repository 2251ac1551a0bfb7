"""The life of a task as pure decisions: what follows when an attempt ends.

    queued ──► leased ──► running ──► succeeded · failed · cancelled
       ▲         │          │
       └─────────┴──────────┴──► (attempt lost) queued again, or expired when the retries are used up

No clock, no chance, no SQL: time and counts come in, a decision goes out.
"""

from __future__ import annotations

import enum

import msgspec

from hypernode.jobs.model import Retries
from hypernode.kernel import limits
from hypernode.ledger.receipt import Outcome


class TaskState(enum.StrEnum):
    """Where a task is."""

    QUEUED = "queued"
    LEASED = "leased"  # a node holds it and prepares: inputs, environment, sandbox
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the job's own fault
    CANCELLED = "cancelled"  # by the client
    EXPIRED = "expired"  # infrastructure failed more often than the job allows

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self in _ENDED

    @property
    def live(self) -> bool:
        """Whether a node holds it."""
        return self in (TaskState.LEASED, TaskState.RUNNING)


_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})


class AttemptState(enum.StrEnum):
    """Where an attempt is. At most one a task is live, at most one ever accepted."""

    LEASED = "leased"
    RUNNING = "running"
    ACCEPTED = "accepted"  # its result is the task's result, and it was paid
    RETRIED = "retried"  # it failed by the job's own fault, was paid, and another attempt follows
    LOST = "lost"  # no result: node lost, lease expired, refused, report invalid; not paid


class JobState(enum.StrEnum):
    """Where a job is, as the sum of its tasks."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether all tasks have ended."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class History(msgspec.Struct, frozen=True):
    """What happened to a task so far, without the attempt that just ended."""

    infrastructure_failures: int
    job_failures: int
    cancel_requested: bool


class Next(msgspec.Struct, frozen=True):
    """What follows: the state the task goes to, and for `queued` after how long."""

    state: TaskState
    delay_ms: int = 0


def after_report(outcome: Outcome, exit_code: int | None, history: History, retries: Retries, can_pay: bool) -> Next:
    """What follows a settled report. `can_pay`: whether what is left of the cap still covers the worst case of
    another attempt at the same rate; if not, a failure is final however many retries are left."""
    if outcome is Outcome.CANCELLED:
        return Next(TaskState.CANCELLED)
    if succeeded(outcome, exit_code):
        return Next(TaskState.SUCCEEDED)
    if history.cancel_requested or history.job_failures >= retries.failures or not can_pay:
        return Next(TaskState.FAILED)
    return Next(TaskState.QUEUED, backoff_ms(history.job_failures))


def after_loss(history: History, retries: Retries) -> Next:
    """What follows when an attempt gave no result and that was not the job's fault. Nobody is paid."""
    if history.cancel_requested:
        return Next(TaskState.CANCELLED)
    if history.infrastructure_failures >= retries.infrastructure:
        return Next(TaskState.EXPIRED)
    return Next(TaskState.QUEUED, backoff_ms(history.infrastructure_failures))


def succeeded(outcome: Outcome, exit_code: int | None) -> bool:
    """Whether a job did what it was asked to."""
    return outcome is Outcome.EXITED and exit_code == 0


def backoff_ms(failures: int) -> int:
    """Delay before the next attempt: doubling from BACKOFF_MS to BACKOFF_MAX_MS."""
    doublings: int = 2 ** min(failures, 16)
    return min(limits.BACKOFF_MAX_MS, limits.BACKOFF_MS * doublings)


def job_state(size: int, started: bool, succeeded: int, failed: int, cancelled: int, expired: int) -> JobState:
    """The state of a job from the counts of its ended tasks."""
    if succeeded + failed + cancelled + expired < size:
        return JobState.RUNNING if started else JobState.QUEUED
    if cancelled:
        return JobState.CANCELLED
    if failed:
        return JobState.FAILED
    return JobState.EXPIRED if expired else JobState.SUCCEEDED
