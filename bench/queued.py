"""What a claim costs with few and with very many jobs queued."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any, Final
from uuid import UUID

import msgspec
import uvloop

from bench.load import document
from bench.measuring import Say
from bench.network import ASK
from bench.pipeline import CAPABILITIES, rooms
from bench.results import Report, aim, figure, percentile
from hypernode.coordinator.services import Services
from hypernode.jobs.model import encode
from hypernode.kernel.keys import KeyPair
from hypernode.market.fairness import Backlog
from hypernode.market.matching import Matcher
from hypernode.market.model import demand_of
from hypernode.market.offers import idle_offer
from hypernode.market.pool import Pool as Nodes
from hypernode.nodes.store import queries as node_queries

TASKS: Final = 16
"""Tasks of one claim."""
_FILL: Final = """
with kept as (
    insert into document (content_id, data) values ($2, $3) on conflict do nothing
),
made as (
    insert into job (id, project_id, content_id, name, size, cap, held, treasury_bps, incentive_bps, stakers_bps)
    select uuidv7(), $1, $2, 'bench', 1, $4, $4, 1000, 400, 100 from generate_series(1, $6) returning id, submitted_at
)
insert into queue (job_id, first, beyond, shape, remaining_cap, project_id, turn_at)
select id, 0, 1, $5, $4, $1, submitted_at from made
"""


class Claims:
    """The rooms with a queue that is kept at its length."""

    def __init__(self, services: Services, length: int) -> None:
        self._services = services
        self._length = length
        self._node = KeyPair.generate().public
        self._session = UUID(int=1)
        self._project = UUID(int=0)
        self._nodes = Nodes()
        self._nodes.put(idle_offer(self._node, CAPABILITIES, ASK))
        self._matcher = Matcher(self._nodes)
        self.taken_ms: list[float] = []

    async def prepare(self) -> None:
        """A node, and the queue."""
        services = self._services
        self._project = await services.tenancy.create_project("client")
        await services.pool.execute(node_queries.insert_node, self._node, self._project, "bench")
        await services.nodes.connect(self._node, self._session, services.id, CAPABILITIES, ASK, "", False, 3_600_000)
        left = self._length
        while left:
            await self._fill(min(left, 50_000))
            left -= min(left, 50_000)
        for table in ("job", "queue"):
            await services.pool.execute(f"vacuum analyze {table}")

    async def claim(self) -> None:
        """Look for work, match it, lease it; then fill up the queue again, which is not counted."""
        leases = self._services._leases
        began = time.perf_counter()
        work = await leases.ready([], TASKS)
        given = self._matcher.decide(Backlog(work), began, set())
        granted, _ = await leases.lease(
            [one.assignment for one in given], {self._node: ASK}, {self._node: self._session}
        )
        self.taken_ms.append((time.perf_counter() - began) * 1000)
        for one in given:
            self._nodes.give_back(one.offer, one.holding)
        if len(granted) != TASKS:
            raise RuntimeError(f"{len(granted)} of {TASKS} tasks were leased")
        await self._fill(TASKS)

    async def _fill(self, count: int) -> None:
        job = document()
        data = encode(job)
        shape = demand_of(job, job.cap).shape
        digest = hashlib.sha256(data).digest()
        await self._services.pool.execute(_FILL, self._project, digest, data, job.cap, shape, count)


async def _measure(few: int, many: int, claims: int) -> dict[str, list[float]]:
    async with rooms() as (one, _), rooms() as (other, _):
        short, long = Claims(one, few), Claims(other, many)
        await short.prepare()
        await long.prepare()
        for _ in range(claims + 20):
            await short.claim()  # in turns, so that what else the machine does meets both
            await long.claim()
        return {"few": short.taken_ms[20:], "many": long.taken_ms[20:]}


def queued(quick: bool, say: Say) -> Report:
    """A claim with 1,000 and with 1,000,000 jobs queued."""
    few, many, claims = 1_000, 100_000 if quick else 1_000_000, 200 if quick else 1_000
    say(f"{claims} claims of {TASKS} tasks each with {few:,} and with {many:,} jobs queued, after queuing them")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_measure(few, many, claims))
    parts = {name: [taken[i::5] for i in range(5)] for name, taken in found.items()}
    figures = []
    for name, count in (("few", few), ("many", many)):
        for share in (0.5, 0.99):
            spread = [percentile(part, share) for part in parts[name]]
            figures.append(
                figure(f"claim with {count:,} queued p{share * 100:.0f}", "ms", percentile(found[name], share), spread)
            )
    ratios: dict[float, Any] = {}
    for share in (0.5, 0.99):
        spread = [percentile(b, share) / percentile(a, share) for a, b in zip(parts["few"], parts["many"], strict=True)]
        whole = percentile(found["many"], share) / percentile(found["few"], share)
        ratios[share] = figure(f"the long queue's p{share * 100:.0f} over the short one's", "×", whole, spread)
    return Report(
        title="A long queue",
        method=f"The rooms alone, without HTTP and nodes: find ready work, match it, lease {TASKS} tasks in one "
        f"committed transaction, with {few:,} jobs queued in one database and {many:,} in another. {claims} claims of "
        "each in turns; after each the queue is filled up again, which is not counted. Spread: five interleaved parts.",
        parameters={"tasks_a_claim": TASKS, "claims": claims, "few": few, "many": many},
        figures=[*figures, *ratios.values()],
        aims=[aim(f"claim p99 with {many:,} queued over {few:,}", ratios[0.99], 1.2)],
        checks={"leased": 2 * TASKS * (claims + 20), "sizes": msgspec.json.encode([few, many]).decode()},
    )
