"""Oban on PostgreSQL. It keeps no results unless asked to, so it is states that are waited for and checked."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import uvloop
from oban import Oban, worker
from oban.schema import install

from bench.peers.drivers.driver import DSN, WAIT_S, WORKERS, check
from bench.peers.drivers.processes import Processes

LIMIT = 100
"""Tasks at once of a worker process, which fetches and acknowledges that many together."""
POLL_S = 0.1
POLL_ONE_S = 0.001


@worker(queue="default")
class Noop:
    """The no-op."""

    async def process(self, job: Any) -> None:
        """Nothing."""


def noop(value: int) -> Any:
    """A job that has not been enqueued."""
    return Noop.new({"value": value})  # type: ignore[attr-defined]  # the decorator adds it


class Peer:
    """Two worker processes; many tasks are one `enqueue_many`."""

    def __init__(self) -> None:
        self._processes = Processes()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._pool: Any = None

    def version(self) -> str:
        return version("oban")

    def start(self) -> None:
        self._runner.run(self._start())
        self.one()

    async def _start(self) -> None:
        self._pool = await Oban.create_pool(DSN)
        await install(self._pool)
        self._oban = Oban(pool=self._pool)
        await self._oban.start()
        served = ("--dsn", DSN, "--queues", f"default:{LIMIT}", "--cron-modules", __name__, "--log-level", "WARNING")
        for _ in range(WORKERS):
            self._processes.start_module("oban", "start", *served)

    def many(self, tasks: int) -> None:
        self._runner.run(self._many(tasks))

    async def _many(self, tasks: int) -> None:
        done = await self._ask("SELECT count(*) FROM oban_jobs WHERE state = 'completed'")
        await self._oban.enqueue_many(noop(number) for number in range(tasks))
        waits = "SELECT EXISTS (SELECT 1 FROM oban_jobs WHERE state IN ('available', 'executing', 'retryable'))"
        async with asyncio.timeout(WAIT_S):
            while await self._ask(waits):
                await asyncio.sleep(POLL_S)
        check(await self._ask("SELECT count(*) FROM oban_jobs WHERE state = 'completed'"), done + tasks)

    def one(self) -> None:
        self._runner.run(self._one())

    async def _one(self) -> None:
        job = await self._oban.enqueue(noop(1))
        async with asyncio.timeout(WAIT_S):
            while (state := await self._ask("SELECT state FROM oban_jobs WHERE id = %s", job.id)) != "completed":
                if state not in ("available", "executing"):
                    check(state, "completed")
                await asyncio.sleep(POLL_ONE_S)

    async def _ask(self, statement: str, *values: object) -> Any:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return (await cursor.fetchone())[0]

    def stop(self) -> None:
        self._processes.stop()
        if self._pool is not None:
            self._runner.run(self._stop())
        self._runner.close()

    async def _stop(self) -> None:
        await self._oban.stop()
        await self._pool.close()
