"""Procrastinate on PostgreSQL. It keeps no results, so it is states that are waited for and checked."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from procrastinate import App, PsycopgConnector

from bench.peers.drivers.driver import DSN, WAIT_S, WORKERS, check
from bench.peers.drivers.processes import Processes

CONCURRENCY = 20
POLL_S = 0.1
POLL_ONE_S = 0.001

app = App(connector=PsycopgConnector(conninfo=DSN))


@app.task(name="noop")
async def noop(value: int) -> int:
    """The no-op; asynchronous tasks are what it runs at the least cost."""
    return value


class Peer:
    """Two worker processes, each with several tasks at once; many tasks are one `batch_defer`."""

    def __init__(self) -> None:
        self._processes = Processes()
        self._runner = asyncio.Runner()

    def version(self) -> str:
        return version("procrastinate")

    def start(self) -> None:
        self._runner.run(self._start())
        self.one()

    async def _start(self) -> None:
        await app.open_async()
        await app.schema_manager.apply_schema_async()
        worker = ("--app", f"{__name__}.app", "--log-level", "warning", "worker", "--concurrency", str(CONCURRENCY))
        for _ in range(WORKERS):
            self._processes.start_module("procrastinate", *worker)

    def many(self, tasks: int) -> None:
        self._runner.run(self._many(tasks))

    async def _many(self, tasks: int) -> None:
        done = await self._count("succeeded")
        await noop.batch_defer_async(*({"value": number} for number in range(tasks)))
        async with asyncio.timeout(WAIT_S):
            while await self._waits():
                await asyncio.sleep(POLL_S)
        check(await self._count("succeeded"), done + tasks)

    def one(self) -> None:
        self._runner.run(self._one())

    async def _one(self) -> None:
        number = await noop.defer_async(value=1)
        async with asyncio.timeout(WAIT_S):
            while (status := await self._status(number)) in ("todo", "doing"):
                await asyncio.sleep(POLL_ONE_S)
        check(status, "succeeded")

    async def _waits(self) -> bool:
        asked = "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing')) AS found"
        return bool((await app.connector.execute_query_one_async(asked))["found"])

    async def _count(self, status: str) -> int:
        asked = "SELECT count(*) AS found FROM procrastinate_jobs WHERE status = %(status)s"
        return int((await app.connector.execute_query_one_async(asked, status=status))["found"])

    async def _status(self, number: int) -> str:
        asked = "SELECT status FROM procrastinate_jobs WHERE id = %(number)s"
        return str((await app.connector.execute_query_one_async(asked, number=number))["status"])

    def stop(self) -> None:
        self._processes.stop()
        self._runner.run(app.close_async())
        self._runner.close()
