"""What a job's tasks add up to, kept while a transaction holds the job's row."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from hypernode.jobs.lifecycle import JobState, TaskState, job_state
from hypernode.kernel.errors import InvariantViolated
from hypernode.ledger.model import Shares


class Tally(msgspec.Struct):
    """Counters and money of one job. `end` and `pay` change it as tasks end; amounts are µHYPER."""

    job_id: UUID
    project_id: UUID
    content_id: str
    size: int
    cap: int
    started: bool
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    held: int
    spent: int
    state: JobState
    cancel_requested: bool
    shares: Shares
    """How its prices are split: as they were when it was submitted, whatever votes have changed since."""

    @classmethod
    def of(cls, row: Any) -> Tally:
        """From a row of `lock_jobs`."""
        return cls(
            job_id=row["id"],
            project_id=row["project_id"],
            content_id=row["content_id"].hex(),
            size=row["size"],
            cap=row["cap"],
            started=row["started"],
            succeeded=row["succeeded"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            expired=row["expired"],
            held=row["held"],
            spent=row["spent"],
            state=JobState(row["state"]),
            cancel_requested=row["cancel_requested"],
            shares=Shares.of(row),
        )

    def pay(self, price: int) -> None:
        """An attempt was paid out of escrow."""
        self.held -= price
        self.spent += price

    def end(self, state: TaskState, refund: int, tasks: int = 1) -> bool:
        """`tasks` tasks ended in `state`, and `refund` went back. Returns whether this ended the job.

        Raises InvariantViolated when the sums cannot be right, before anything is written.
        """
        before = self.state
        self.held -= refund
        match state:
            case TaskState.SUCCEEDED:
                self.succeeded += tasks
            case TaskState.FAILED:
                self.failed += tasks
            case TaskState.CANCELLED:
                self.cancelled += tasks
            case TaskState.EXPIRED:
                self.expired += tasks
            case _:
                raise InvariantViolated(f"job {self.job_id}: a task cannot end as {state}")
        self.state = job_state(self.size, self.started, self.succeeded, self.failed, self.cancelled, self.expired)
        ended = self.succeeded + self.failed + self.cancelled + self.expired
        if before.ended or ended > self.size or self.held < 0 or (self.state.ended and self.held != 0):
            raise InvariantViolated(f"job {self.job_id}: {ended} of {self.size} tasks ended with {self.held} held")
        return self.state.ended
