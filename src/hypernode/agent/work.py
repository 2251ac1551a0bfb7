"""One lease in the executor's hands: its task, its log's progress, its report, and the files it has on this node."""

from __future__ import annotations

import asyncio
import shutil
import time

from hypernode.agent.attempt import Attempt, log_path, spool_path
from hypernode.agent.home import Home
from hypernode.agent.leases import Held
from hypernode.agent.logs import LogSender
from hypernode.agent.plan import lease_key
from hypernode.agent.refusal import GiveBack
from hypernode.agent.status import LeaseView
from hypernode.protocol.messages import LeaseRef


class Work:
    """What belongs to one lease beside its place in the table."""

    __slots__ = (
        "attempt",
        "begun",
        "ending",
        "held",
        "key",
        "log_path",
        "name",
        "outputs",
        "said",
        "sender",
        "since",
        "task",
    )

    def __init__(self, home: Home, held: Held, log_bytes: int = 0) -> None:
        self.held = held
        self.key = lease_key(held.lease)
        self.log_path = log_path(home, self.key)
        self.sender = LogSender(held.lease, self.log_path, log_bytes)
        self.name = ""
        self.outputs = True
        """Whether it may have files in the spool."""
        self.said = False
        """Whether its report has been said on this connection."""
        self.since = time.monotonic()
        self.attempt: Attempt | None = None
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        """Whether its task has taken its first step."""
        self.ending: GiveBack | None = None
        """Why its task is to end."""

    @property
    def lease(self) -> LeaseRef:
        """Which lease."""
        return self.held.lease

    @property
    def has_files(self) -> bool:
        """Whether there may be something to remove."""
        return bool(self.sender.size_bytes or self.outputs)

    def end(self, ending: GiveBack) -> None:
        """Cancel its task for this reason; the first reason stays."""
        if self.ending is None and self.task is not None:
            self.ending = ending
            if self.begun:  # cancelled before its first step, a task would end without running any of its code
                self.task.cancel()


def view(held: Held, work: Work | None) -> LeaseView:
    """A lease for node:status."""
    return LeaseView(
        job_id=lease_key(held.lease)[:36],
        task=held.lease.task,
        attempt=held.lease.epoch,
        name=work.name if work else "",
        phase=held.phase.value,
        seconds=round(time.monotonic() - work.since, 1) if work else 0.0,
    )


async def remove_files(home: Home, lease: LeaseRef) -> None:
    """Log and outputs of a lease that is over."""
    key = lease_key(lease)
    log_path(home, key).unlink(missing_ok=True)
    spool = spool_path(home, key)
    if spool.exists():
        await asyncio.to_thread(shutil.rmtree, spool)


def remove_all_but(home: Home, kept: set[str]) -> None:
    """Logs and outputs that no result in the journal speaks of. `kept` are keys of leases."""
    for path in home.logs.iterdir():
        if path.name.removesuffix(".log") not in kept:
            path.unlink()
    for path in home.spool.iterdir():
        if path.name not in kept:
            shutil.rmtree(path)
