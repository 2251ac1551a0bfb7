"""The rooms alone, without HTTP, WebSocket and nodes: what each of a job's four transactions costs at a given batch.

`python -m bench.pipeline [--distinct] [BATCH …]` prints CPU per job by phase, of this process (the coordinator's part)
and of PostgreSQL. With `--distinct` no two jobs have the same document, otherwise all have. Signatures are made and
checked outside of what is measured, and shown by themselves.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import msgspec
import uvloop

from bench.load import document
from bench.network import ASK
from bench.usage import cpu_s
from hypernode.collector import spare_the_collector
from hypernode.coordinator.services import Services
from hypernode.coordinator.sessions import Session
from hypernode.coordinator.settings import Settings
from hypernode.db import migrate
from hypernode.db.embedded import EmbeddedPostgres
from hypernode.db.pool import create_pool
from hypernode.jobs.endings import Ref, Report
from hypernode.jobs.model import JobDocument, encode
from hypernode.jobs.service.lease import Granted
from hypernode.jobs.service.submit import prepare
from hypernode.kernel import limits
from hypernode.kernel.canonical import content_id
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.receipt import NODE_CONTEXT, Outcome, ReceiptBody, Run, Work, encode_body
from hypernode.market.fairness import Backlog
from hypernode.market.matching import Given, Matcher
from hypernode.market.pool import Pool as Nodes
from hypernode.nodes.model import Capabilities, SandboxOffer
from hypernode.nodes.store import queries as node_queries
from hypernode.tenancy.model import Idempotency

PHASES: Final = ("submit", "lease", "start", "end")
CAPABILITIES: Final = Capabilities(
    cpu_milli=1_000_000,
    memory_bytes=1 << 40,
    disk_bytes=1 << 40,
    slots=limits.NODE_LEASES,
    sandboxes=(SandboxOffer(name="bench", isolation=0, runtimes=("python",)),),
)


class Cost(msgspec.Struct):
    """Milliseconds of CPU per job, by phase."""

    coordinator: dict[str, float]
    database: dict[str, float]
    jobs: int

    @property
    def total(self) -> float:
        """All phases, both roles."""
        return sum(self.coordinator.values()) + sum(self.database.values())


class Pipeline:
    """Jobs in lockstep: a batch is submitted, leased, started and ended, then the next."""

    def __init__(self, services: Services, postmaster: int, batch: int, *, distinct: bool = False) -> None:
        self._services = services
        self._pids = {"database": [postmaster]}
        self._batch = batch
        self._distinct = distinct
        self._made = 0
        self._key = KeyPair.generate()
        self._project = UUID(int=0)
        self._nodes = Nodes()
        self._matcher = Matcher(self._nodes)
        self._session = Session(self._key.public, CAPABILITIES, ASK, self._nodes)
        self._nodes.put(self._session.offer)
        self._spent = {role: dict.fromkeys(PHASES, 0.0) for role in ("coordinator", "database")}

    async def run(self, rounds: int) -> Cost:
        """Warm up with a tenth of the rounds, then measure."""
        await self._prepare()
        for _ in range(max(3, rounds // 10)):
            await self._round()
        for costs in self._spent.values():
            costs.update(dict.fromkeys(PHASES, 0.0))
        for _ in range(rounds):
            await self._round()
        jobs = rounds * self._batch
        per_job = {
            role: {phase: spent * 1000 / jobs for phase, spent in of.items()} for role, of in self._spent.items()
        }
        return Cost(per_job["coordinator"], per_job["database"], jobs)

    async def _prepare(self) -> None:
        services = self._services
        spare_the_collector()
        self._project = await services.tenancy.create_project("client")
        operator = await services.tenancy.create_project("operator")
        await services.ledger.deposit(self._project, 10**12)
        await services.pool.execute(node_queries.insert_node, self._key.public, operator, "bench")
        await services.nodes.connect(
            self._key.public, self._session.id, services.id, CAPABILITIES, ASK, "bench", False, 3_600_000
        )

    async def _round(self) -> None:
        services, leases = self._services, self._services._leases
        made = [
            prepare(self._project, one, encode(one), Idempotency(f"{uuid7()}", hashlib.sha256(b"x").digest()))
            for one in [self._document() for _ in range(self._batch)]
        ]
        mark = self._mark()
        taken = await services._submissions.submit_many(made)
        mark = self._spend("submit", mark)
        granted: list[Granted] = []
        given: list[Given] = []
        while len(granted) < len(taken):
            decided = self._matcher.decide(Backlog(await leases.ready([], limits.MATCH_PAGE)), time.monotonic(), set())
            some, _ = await leases.lease(
                [one.assignment for one in decided], {self._key.public: ASK}, {self._key.public: self._session.id}
            )
            granted += some
            given += decided
        mark = self._spend("lease", mark)
        held = await asyncio.gather(*(leases.running(one.ref, self._key.public) for one in granted))
        mark = self._spend("start", mark)
        assert all(held)
        reports = [self._report(one.ref, content_id(one.job.data)) for one in granted]
        mark = self._mark()
        settled = await asyncio.gather(*(services._endings.end(report) for report in reports))
        self._spend("end", mark)
        assert all(one.price for one in settled)
        for one in given:
            self._nodes.give_back(one.offer, one.holding)

    def _document(self) -> JobDocument:
        self._made += 1
        return document(code=f"pass  # {self._made}") if self._distinct else document()

    def _report(self, ref: Ref, content: str) -> Report:
        body = ReceiptBody(
            work=Work(job=content, task=ref.task, outcome=Outcome.EXITED, exit_code=0, signal=None, outputs=()),
            run=Run(
                job_id=str(ref.job_id),
                epoch=ref.epoch,
                node=self._key.public,
                started_at_ms=time.time_ns() // 10**6,
                ended_at_ms=time.time_ns() // 10**6,
                wall_ms=5,
                cpu_ms=1,
                memory_peak_bytes=1 << 20,
                log_bytes=0,
                log_root=hashlib.sha256(b"").hexdigest(),
                sandbox="bench",
                isolation=0,
            ),
        )
        data = encode_body(body)
        return Report(ref, self._key.public, body, data, self._key.sign(NODE_CONTEXT, data))

    def _mark(self) -> tuple[float, float]:
        database = cpu_s(self._pids)["database"]  # looks at every process there is: not in the coordinator's part
        return time.process_time(), database

    def _spend(self, phase: str, since: tuple[float, float]) -> tuple[float, float]:
        self._spent["coordinator"][phase] += time.process_time() - since[0]
        now = self._mark()
        self._spent["database"][phase] += now[1] - since[1]
        return now


@asynccontextmanager
async def rooms() -> AsyncIterator[tuple[Services, int]]:
    """The rooms over a fresh database, and its postmaster's process."""
    with TemporaryDirectory(prefix="hypernode-bench-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        async with EmbeddedPostgres(data / "database") as database:
            await migrate.upgrade(database.dsn)
            pool = await create_pool(database.dsn, application_name="bench")
            try:
                services = Services(Settings(data=data, plain=True), pool, KeyPair.generate(), b"")
                await services.start()
                yield services, database.postmaster_pid
                await services.close()
            finally:
                await pool.close()


async def measure(batch: int, jobs: int, *, distinct: bool = False) -> Cost:
    """What `jobs` jobs in batches of `batch` cost, on a fresh database."""
    async with rooms() as (services, postmaster):
        return await Pipeline(services, postmaster, batch, distinct=distinct).run(max(10, jobs // batch))


def main() -> None:
    """Print a line a batch size."""
    encode(document())
    distinct = "--distinct" in sys.argv
    for batch in [int(text) for text in sys.argv[1:] if text != "--distinct"] or [1, 16, 64, 256]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            cost = runner.run(measure(batch, min(12_000, 600 * batch), distinct=distinct))
        for role in ("coordinator", "database"):
            by_phase = getattr(cost, role)
            parts = "  ".join(f"{phase} {1000 * by_phase[phase]:6.1f}" for phase in PHASES)
            print(f"batch {batch:4}  {role:11} {1000 * sum(by_phase.values()):7.1f} µs a job:  {parts}", flush=True)


if __name__ == "__main__":
    main()
