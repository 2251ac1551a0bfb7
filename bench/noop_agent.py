"""A node that runs nothing: the real agent with a sandbox that ends every task at once, with exit code 0.

Everything around the sandbox is the real thing: leases, journal, log, receipt, signature, connection. It says what it
is: its sandbox is called `noop-bench` and proves isolation 0, so only jobs that ask for isolation 0 come here.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from hypernode.agent.agent import Agent
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.environments import Environment
from hypernode.agent.home import Home
from hypernode.agent.process import Ready
from hypernode.agent.sandboxes.base import (
    Capabilities,
    Failure,
    OnOutput,
    OnStarted,
    Outcome,
    Reason,
    SandboxError,
    Task,
    Usage,
)
from hypernode.collector import spare_the_collector

BACKEND: Final = "noop-bench"
_ENDED: Final = Outcome(
    reason=Reason.EXITED,
    exit_code=0,
    signal=None,
    usage=Usage(wall_ms=0, cpu_ms=0, memory_peak_bytes=0, log_bytes=0),
    disk_full=False,
    detail="",
)
_NOTHING: Final = Environment(
    path=Path("/nonexistent"), python="/nonexistent", key=BACKEND, size_bytes=0, mounts=(), environment={}
)


class NoopSandbox:
    """A sandbox in which nothing runs. With `stamps` it appends a line a start: task and monotonic nanoseconds."""

    def __init__(self, stamps: Path | None) -> None:
        self._stamps = None if stamps is None else os.open(stamps, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def probe(self) -> Capabilities:
        """Nothing is proved."""
        failure = Failure("everything", "this node is part of a benchmark and runs no job; use a real one")
        return Capabilities(backend=BACKEND, isolation=0, proved=(), failed=(failure,))

    images = None

    async def listen(self, key: str) -> socket.socket:
        """Nothing goes out."""
        raise SandboxError("sandbox.no_network", "a no-op task has no network")

    async def prepare(self, task: Task) -> None:
        """Nothing to prepare."""

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """Say that it started, and that it ended."""
        if self._stamps is not None:
            os.write(self._stamps, f"{task.key} {time.monotonic_ns()}\n".encode())
        if on_started is not None:
            waiting = on_started()
            if waiting is not None:
                await waiting
        return _ENDED

    async def kill(self, key: str, reason: Reason) -> None:
        """Nothing to kill."""

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """There are none, so no job of the bench declares any."""
        raise SandboxError("sandbox.task_invalid", "a no-op task has no outputs")

    async def release(self, key: str) -> None:
        """Nothing to release."""

    async def reap(self) -> None:
        """Nothing to reap."""

    async def close(self) -> None:
        """Nothing to close."""


class NoopEnvironments:
    """Environments that are empty and cost nothing."""

    @asynccontextmanager
    async def lease(self, lock: bytes | None) -> AsyncIterator[Environment]:
        """The same nothing for everybody."""
        yield _NOTHING


async def _main(home: Home, slots: int, stamps: Path | None, ready_fd: int) -> None:
    agent = Agent(
        home, sandbox=NoopSandbox(stamps), environments=NoopEnvironments(), slots=slots, drain_s=5, wasm=False
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    running = asyncio.ensure_future(agent.run())
    online = asyncio.ensure_future(agent.online.wait())
    await asyncio.wait({running, online}, return_when=asyncio.FIRST_COMPLETED)
    if online.done():
        spare_the_collector()
        os.write(ready_fd, msgspec.json.encode(Ready(os.getpid(), agent.status().connected_to or "")) + b"\n")
    os.close(ready_fd)
    await running


def main() -> None:
    """`python -m bench.noop_agent --home HOME --slots N --ready-fd FD [--stamps FILE]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--ready-fd", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(Home(arguments.home), arguments.slots, arguments.stamps, arguments.ready_fd))


if __name__ == "__main__":
    main()
