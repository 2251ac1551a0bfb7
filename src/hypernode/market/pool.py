"""The nodes that are connected: who holds what of them, what is kept for whom, and who is best for what."""

from __future__ import annotations

import hashlib
import heapq
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Final

from hypernode.market.fairness import Shares
from hypernode.market.index import Index, Rule, View
from hypernode.market.model import Demand, Ready
from hypernode.market.offers import Holding, Offer, Reservation

WARM_NODES: Final = 8
"""Nodes that are remembered to have one thing: as many as are looked at for each task that needs it."""
WARM_NAMES: Final = 10_000
CANDIDATES: Final = 64
"""Nodes that are looked at for a reservation."""


class Pool:
    """Offers, who holds what of them, and who is best for what."""

    def __init__(self, seed: int = 0, rule: Rule | None = None) -> None:
        self._seed = seed
        self._rule = rule or Rule()
        self._offers: dict[str, Offer] = {}
        self._index = Index(self._offers, self._rule)
        self._number = 0
        self._warm: OrderedDict[str, OrderedDict[Offer, None]] = OrderedDict()
        self._reserved: dict[str, Offer] = {}
        self.shares: Final = Shares()

    def __len__(self) -> int:
        return len(self._offers)

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._offers.values())

    def get(self, node: str) -> Offer | None:
        """A node's offer, if it is here."""
        return self._offers.get(node)

    def has_room(self) -> bool:
        """Whether any node could take anything."""
        return any(offer.open and offer.free_slots > 0 for offer in self._offers.values())

    # ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, offer: Offer) -> None:
        """A node is here, with what it holds; an older offer of the same node is gone."""
        self.remove(offer.node)
        self._number += 1
        offer.number = self._number
        digest = hashlib.blake2b(f"{self._seed}:{offer.node}".encode(), digest_size=8).digest()
        offer.tie = int.from_bytes(digest, "big")
        self._offers[offer.node] = offer
        self.shares.grow(offer.capabilities)
        for holding in offer.holdings:
            self.shares.hold(holding.project, holding.demand)
        self._index.moved(offer)

    def remove(self, node: str) -> Offer | None:
        """A node is here no more, and what it holds counts for nobody."""
        offer = self._offers.pop(node, None)
        if offer is None:
            return None
        self._reserved.pop(node, None)
        self.shares.grow(offer.capabilities, -1)
        for holding in offer.holdings:
            self.shares.hold(holding.project, holding.demand, -1)
        self._index.moved(offer)
        return offer

    def open(self, offer: Offer, *, is_open: bool) -> None:
        """Whether a node may be given anything from now on."""
        if offer.open != is_open:
            offer.open = is_open
            self._index.changed(offer)

    def take(self, offer: Offer, holding: Holding, needs: tuple[str, ...] = ()) -> None:
        """A node is given a task; what it needs is there, or on its way, from now on."""
        offer.take(holding)
        self.shares.hold(holding.project, holding.demand)
        self._warmed(offer, needs)
        self._index.changed(offer)

    def give_back(self, offer: Offer, holding: Holding) -> None:
        """A task has ended on a node, or never came to it."""
        offer.give_back(holding)
        if offer in self:
            self.shares.hold(holding.project, holding.demand, -1)
            self._index.changed(offer)

    def reserve(self, offer: Offer, reservation: Reservation | None) -> None:
        """Keep a node for a task, or with None no longer."""
        offer.reservation = reservation
        if reservation is None:
            self._reserved.pop(offer.node, None)
        elif offer in self:
            self._reserved[offer.node] = offer
        self._index.changed(offer)

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────

    def best(self, ready: Ready, now: float) -> Offer | None:
        """The best node with room for a task now, None if there is none."""
        view = self._index.view(ready.demand, ready.shape)
        heap = view.heap
        while heap and heap[0][4].version != heap[0][3]:
            heapq.heappop(heap)
        chosen = heap[0][4] if heap else None
        if chosen is None:
            return self._best_reserved(view, ready.demand, now)
        if ready.needs and self._rule.warm:
            return self._warmest(view, chosen, ready)
        return chosen

    def eligible(self, ready: Ready) -> Collection[Offer]:
        """The nodes that could ever run a task, with room or without."""
        return self._index.view(ready.demand, ready.shape).fixed

    def candidates(self, ready: Ready) -> list[Offer]:
        """Eligible nodes for a task, with room or without, that may be reserved: all of them if they are few, else some
        that its id picks."""
        view = self._index.view(ready.demand, ready.shape)
        if view.listed is None:
            view.listed = list(view.fixed)
        listed = view.listed
        start = (ready.queue_id * 0x9E3779B97F4A7C15 >> 7) % max(1, len(listed))  # Fibonacci hashing
        picked = listed[start : start + CANDIDATES]
        if len(picked) < CANDIDATES:
            picked += listed[: min(start, CANDIDATES - len(picked))]
        return [offer for offer in picked if offer.listed]

    def __contains__(self, offer: Offer) -> bool:
        return self._offers.get(offer.node) is offer

    def _best_reserved(self, view: View, demand: Demand, now: float) -> Offer | None:
        found = [
            (fixed, offer.tie, offer.number, offer)
            for offer in self._reserved.values()
            if (fixed := view.fixed.get(offer)) is not None and offer.open and offer.lets_in(demand, now)
        ]
        return min(found)[3] if found else None

    # ── what is there already ───────────────────────────────────────────────────────────────────────────────────────

    def _warmed(self, offer: Offer, needs: tuple[str, ...]) -> None:
        for name in needs:
            nodes = self._warm.setdefault(name, OrderedDict())
            self._warm.move_to_end(name)
            nodes[offer] = None
            nodes.move_to_end(offer)
            if len(nodes) > WARM_NODES:
                nodes.popitem(last=False)
            if len(self._warm) > WARM_NAMES:
                self._warm.popitem(last=False)

    def _warmest(self, view: View, chosen: Offer, ready: Ready) -> Offer:
        """The chosen node, or one that is better because it has what the task needs."""
        there: dict[Offer, int] = {chosen: 0}
        for name in ready.needs:
            for offer in self._warm.get(name, ()):
                there[offer] = there.get(offer, 0) + 1
        best, least = chosen, (view.heap[0][0] - self._rule.warm * there[chosen] / len(ready.needs), chosen.tie)
        for offer, count in there.items():
            fixed = view.fixed.get(offer)
            if fixed is not None and offer.listed and offer.has_room(view.demand):
                found = (fixed + offer.moving - self._rule.warm * count / len(ready.needs), offer.tie)
                if found < least:
                    best, least = offer, found
        return best
