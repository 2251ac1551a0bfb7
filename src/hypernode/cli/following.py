"""Being with a job until it ends: its log to stdout and stderr, its phases as lines on stderr, its price, its exit."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import IO, Any, Final

from hypernode.cli.common import money, say
from hypernode.client.aio import AsyncClient
from hypernode.events.model import EventView
from hypernode.jobs.logs import STDERR
from hypernode.jobs.model import ContainerRuntime
from hypernode.jobs.views import JobView, LogEvent, TaskView
from hypernode.kernel.errors import HypernodeError, JobEnded
from hypernode.kernel.units import show_bytes
from hypernode.ledger.receipt import Outcome

# How a job that did not exit by itself becomes an exit code, after the customs of shells and coreutils.
EXIT_FAILED: Final = 1
EXIT_EXPIRED: Final = 75
EXIT_CODES: Final = {
    Outcome.TIMEOUT: 124,
    Outcome.OUT_OF_FUEL: 124,
    Outcome.OUT_OF_MEMORY: 137,
    Outcome.CANCELLED: 130,
    Outcome.LOG_LIMIT: 1,
    Outcome.OUTPUT_LIMIT: 1,
    Outcome.OUTPUT_MISSING: 1,
}
ARRAY_LOGS: Final = 64
"""Arrays up to this size have their logs shown, task by task, once all have ended."""

LEAVE_S: Final = 5.0
_PHASES: Final = {
    "task.leased": "a node has it and prepares",
    "task.running": "running",
    "task.retried": "failed and is tried again",
    "task.lost": "lost by its node",
    "task.cancelled": "cancelled",
}


def run_until_done(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run to an exit code. Ctrl-C raises KeyboardInterrupt after the coroutine has cleaned up; SIGTERM does the same
    and gives 143."""
    ended_by_signal = False

    async def guarded() -> int:
        nonlocal ended_by_signal
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            nonlocal ended_by_signal
            ended_by_signal = True
            task.cancel()

        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        return await coroutine

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if ended_by_signal:
            return 128 + signal.SIGTERM
        raise


async def follow(client: AsyncClient, job: JobView, *, quiet: bool = False) -> JobView:
    """Until the job has ended. Whoever stops waiting (Ctrl-C, SIGTERM, a closed pipe) cancels the job."""
    watching = [asyncio.create_task(_phases(client, job, quiet=quiet))]
    if job.size == 1:
        watching.append(asyncio.create_task(_stream(client, job.id)))
    try:
        # Not gather: when it is cancelled it first waits until both have ended, and the job would run on meanwhile.
        done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        ended = await client.wait(job.id)
        if 1 < job.size <= ARRAY_LOGS:
            for index in range(job.size):
                async for event in client.logs(job.id, index):
                    write(event)
        return ended
    except (asyncio.CancelledError, BrokenPipeError):
        await cancel(client, job.id)
        raise
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching, timeout=LEAVE_S)


async def cancel(client: AsyncClient, job_id: str) -> None:
    """Cancel a job because the person left; says so, and says it when that did not work."""
    say(f"cancelling job {job_id}")
    try:
        await client.cancel(job_id)
    except JobEnded:
        pass
    except HypernodeError as error:
        say(f"could not cancel it: {error}; try: hypernode cancel {job_id}")


async def exit_code(client: AsyncClient, job: JobView) -> int:
    """The job's own exit code; of an array the first that is not 0."""
    if job.state == "succeeded":
        return 0
    async for task in client.tasks(job.id):
        code = of_task(task)
        if code:
            return code
    return EXIT_FAILED


def of_task(task: TaskView) -> int:
    """A task's end as the exit code of a process."""
    if task.outcome is None:
        return {"expired": EXIT_EXPIRED, "cancelled": 130, "succeeded": 0}.get(task.state, EXIT_FAILED)
    if task.outcome is Outcome.EXITED:
        return task.exit_code or 0
    if task.outcome is Outcome.SIGNALLED:
        return 128 + (task.signal or 0)
    return EXIT_CODES[task.outcome]


def verdict(job: JobView) -> str:
    """How it ended and what it cost, in a line."""
    tasks = "" if job.size == 1 else f" ({job.tasks.succeeded} of {job.size} tasks succeeded)"
    return f"{job.state}{tasks}; price paid: {money(job.spent)}"


def say_image(job: JobView) -> None:
    """Which image it is, where one was named by a tag and has become a digest, or was named by both."""
    runtime = job.document.runtime if job.document is not None else None
    if isinstance(runtime, ContainerRuntime):
        say(f"· its image is {runtime.image}")


async def say_traffic(client: AsyncClient, job: JobView) -> None:
    """How much a job that may reach hosts has sent and received, by its nodes' receipts."""
    if job.document is None or not job.document.egress or job.size > ARRAY_LOGS:
        return
    found = [task.egress async for task in client.tasks(job.id) if task.egress is not None]
    if found:
        sent, received = sum(one.sent_bytes for one in found), sum(one.received_bytes for one in found)
        say(f"· sent {show_bytes(sent)} and received {show_bytes(received)}")


def write(event: LogEvent) -> None:
    """A piece of a log to where the job wrote it."""
    raw: IO[bytes] = (sys.stderr if event.stream == STDERR else sys.stdout).buffer
    raw.write(event.data)
    raw.flush()


async def _stream(client: AsyncClient, job_id: str) -> None:
    epoch = 0
    async for event in client.logs(job_id, follow=True):
        if epoch and event.epoch != epoch:
            say(f"-- attempt {event.epoch} starts from the beginning --")
        epoch = event.epoch
        write(event)


async def _phases(client: AsyncClient, job: JobView, *, quiet: bool) -> None:
    ended = 0
    async for event in client.events(job.id):
        if event.kind == "job.ended" or quiet:
            continue
        if event.kind == "task.cancelled":
            ended += int(event.data.get("tasks", 1))
        elif event.kind == "task.accepted" or (event.kind == "task.lost" and event.data.get("state") != "queued"):
            ended += 1
        line = _line(event, job.size, ended)
        if line:
            say(line)


def _line(event: EventView, size: int, ended: int) -> str:
    node = f" (node {event.node[:8]}…)" if event.node else ""
    if size == 1:
        phase = _PHASES.get(event.kind)
        return f"· {phase}{node}{_why(event)}" if phase else ""
    if event.kind in ("task.lost", "task.retried"):
        return f"· task {event.task} {_PHASES[event.kind]}{node}{_why(event)}"
    # Of a large array about a hundred lines are enough to see it move.
    if event.kind == "task.accepted" and (ended % max(1, size // 100) == 0 or ended == size):
        return f"· {ended} of {size} tasks have ended{node}"
    return ""


def _why(event: EventView) -> str:
    """What went wrong, of an attempt that did."""
    cause, detail = event.data.get("cause"), event.data.get("detail")
    if event.kind not in ("task.lost", "task.retried") or not cause:
        return ""
    return f": {detail} [{cause}]" if detail else f" [{cause}]"
