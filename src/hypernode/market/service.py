"""Quoting: what a job would cost at worst and who could run it, before anything is taken."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from hypernode.jobs.model import JobDocument, encode_bounded
from hypernode.jobs.views import Exclusion, NodeQuote, QuoteView
from hypernode.kernel.canonical import content_id
from hypernode.kernel.errors import CapTooLow
from hypernode.kernel.money import show
from hypernode.ledger.model import worst_price
from hypernode.ledger.service import Ledger
from hypernode.market.eligibility import exclusion, summarize
from hypernode.market.model import Demand, demand_of
from hypernode.nodes.service import KnownNode, Nodes

ALIVE_CACHE_S: Final = 1.0
_NO_CAP: Final = 2**80
"""More than any worst-case price: the largest rate for the longest timeout is below 2^75."""


class Market:
    """Prices and eligibility."""

    def __init__(self, nodes: Nodes, ledger: Ledger, now: Callable[[], float] = time.monotonic) -> None:
        self._nodes = nodes
        self._ledger = ledger
        self._now = now
        self._alive: list[KnownNode] = []
        self._fresh_until = -math.inf
        self._looking = asyncio.Lock()
        self._cheapest: dict[Demand, int | None] = {}

    async def cheapest(self, document: JobDocument) -> int | None:
        """The least worst-case price a task of this job has on any suitable node, whatever its cap, in µHYPER. None
        if no node is suitable. Looks at the nodes as they were up to a second ago: it is asked at every submission."""
        if self._now() >= self._fresh_until:
            async with self._looking:  # one looks, and whoever came meanwhile has what it found
                now = self._now()
                if now >= self._fresh_until:
                    self._alive, self._fresh_until = await self._nodes.alive(), now + ALIVE_CACHE_S
                    self._cheapest.clear()
        demand = demand_of(document, _NO_CAP)
        if demand not in self._cheapest:
            self._cheapest[demand] = min(
                (
                    worst_price(node.ask, document.timeout_s)
                    for node in self._alive
                    if not node.draining and exclusion(demand, node.capabilities, node.ask) is None
                ),
                default=None,
            )
        return self._cheapest[demand]

    async def quote(self, project_id: UUID, document: JobDocument) -> QuoteView:
        """What this job would cost, and why nodes do or don't match. Raises TooLarge."""
        data = encode_bounded(document)
        demand = demand_of(document, document.cap)
        suitable: list[tuple[int, KnownNode]] = []
        excluded: list[Exclusion] = []
        priced_out: list[int] = []
        for node in await self._nodes.alive():
            if node.draining:
                excluded.append(Exclusion("draining", 1, "is draining and takes nothing new", "wait or add a node"))
                continue
            if not node.connected:
                excluded.append(Exclusion("disconnected", 1, "has lost its connection", "wait until it is back"))
                continue
            why = exclusion(demand, node.capabilities, node.ask)
            worst = worst_price(node.ask, document.timeout_s)
            if why is not None:
                excluded.append(why)
                if why.code == "cap":
                    priced_out.append(worst)
                continue
            suitable.append((worst, node))
        running = await self._nodes.running([node.node for _, node in suitable])
        eligible = [
            NodeQuote(
                node=node.node,
                name=node.name,
                rate_per_second=node.ask.rate_per_second,
                fixed=node.ask.fixed,
                worst_price=worst,
                available_now=running.get(node.node, 0) < node.capabilities.slots,
            )
            for worst, node in sorted(suitable, key=lambda found: (found[0], found[1].node))
        ]
        available = (await self._ledger.view(project_id)).available
        hold = document.cap * document.size
        cheapest = min([quote.worst_price for quote in eligible] + priced_out, default=None)
        short = cheapest - document.cap if cheapest is not None and not eligible else 0
        return QuoteView(
            content_id=content_id(data),
            tasks=document.size,
            eligible=eligible,
            excluded=summarize(excluded),
            cheapest_worst_price=cheapest,
            hold=hold,
            cap_short_by=short,
            available=available,
            can_submit=not short and hold <= available,
        )


def refuse_low_cap(cheapest: int | None, document: JobDocument) -> None:
    """Raise CapTooLow when some node could run the job but every such node costs more than the cap allows: `cheapest`
    is the least worst-case price, None where there is no suitable node at all; then a job may wait for one."""
    if cheapest is not None and cheapest > document.cap:
        raise CapTooLow(
            f"the cap of {show(document.cap)} is {show(cheapest - document.cap)} too low: the cheapest suitable node "
            f"costs up to {show(cheapest)} for {document.timeout_s} s",
            extra={"short_by": cheapest - document.cap, "needed": cheapest},
        )
