"""The index of matching: the best node for a task without looking at all nodes.

For each kind of task there is a view: the eligible nodes with room as a heap by score. What changes on a node is noted
in a log. It is read once for each size of tasks, and the nodes that have room for such are noted on; each view of that
size reads on there from where it last looked, the next time it is asked. So a change costs one look for each size that
is waiting and one more for each kind it has room for, however many nodes there are, and nothing for what nobody asks
for.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from hypernode.ledger.model import worst_price
from hypernode.market.eligibility import exclusion
from hypernode.market.model import Demand
from hypernode.market.offers import Offer
from hypernode.market.score import WEIGHTS, Fixed, fixed_terms, spare
from hypernode.nodes.model import Ask

VIEW_ENTRIES: Final = 1_000_000
"""Nodes in all views together. The least recently used view goes first; making one anew costs some 5 µs a node."""

Moving: TypeAlias = Callable[[Offer], float]
"""The part of a score that changes with what a node holds."""


class Rule(msgspec.Struct, frozen=True):
    """How nodes are compared: a score that is fixed while a node is connected, plus one that moves with what it holds,
    less `warm` times the share of what a task needs that is there. Lower is better. The simulator's baselines are other
    rules over the same index."""

    fixed: Fixed = fixed_terms
    moving: Moving = spare
    warm: float = WEIGHTS.warm


class _Size:
    """Which nodes got room for tasks of one size, in the order in which they changed."""

    __slots__ = ("demand", "forgotten", "log", "read")

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.log: list[tuple[int, Offer]] = []
        """With their versions then: what has changed since is here once more, or has no room."""
        self.forgotten = 0
        self.read = -1


class View:
    """The eligible nodes for one kind of task."""

    __slots__ = ("demand", "fixed", "heap", "listed", "met", "read", "size")

    def __init__(self, demand: Demand, size: _Size) -> None:
        self.demand = demand
        self.size = size
        self.fixed: dict[Offer, float] = {}
        """The fixed part of the score of every eligible node."""
        self.listed: list[Offer] | None = None
        """The eligible nodes once more, if anyone has asked."""
        self.heap: list[tuple[float, int, int, int, Offer]] = []
        self.met = -1
        self.read = -1


class Index:
    """Views of the nodes there are, kept up to date by being told what changes."""

    def __init__(self, offers: Mapping[str, Offer], rule: Rule) -> None:
        """`offers` by node: whoever changes it says so with `moved`."""
        self._offers = offers
        self._rule = rule
        self._log: list[Offer] = []
        self._forgotten = 0
        """How much of the log is gone; positions in it count from its beginning."""
        self._moves: list[Offer] = []
        """Who came or went."""
        self._moves_forgotten = 0
        self._sizes: dict[tuple[int, ...], _Size] = {}
        self._asks: set[Ask] = set()
        self._prices: dict[int, list[int]] = {}
        self._views: OrderedDict[tuple[Demand, int], View] = OrderedDict()
        self._by_shape: dict[int, View] = {}

    def moved(self, offer: Offer) -> None:
        """A node came, or went."""
        self._moves.append(offer)
        if len(self._moves) > 2 * len(self._offers) + 1024:
            self._moves_forgotten += len(self._moves)
            self._moves.clear()
        if offer.ask not in self._asks:
            if len(self._asks) > 4 * len(self._offers) + 1024:
                self._asks = {other.ask for other in self._offers.values()}
            self._asks.add(offer.ask)
            self._prices.clear()
            self._by_shape.clear()
            self._views.clear()
        self.changed(offer)

    def changed(self, offer: Offer) -> None:
        """A node has more room, or less."""
        offer.version += 1
        offer.listed = offer.open and offer.reservation is None and self._is_here(offer)
        if offer.listed:
            offer.moving = self._rule.moving(offer)
        self._log.append(offer)
        if len(self._log) > 4 * len(self._offers) + 1024:
            half = len(self._log) // 2
            del self._log[:half]
            self._forgotten += half

    def _is_here(self, offer: Offer) -> bool:
        return self._offers.get(offer.node) is offer

    def view(self, demand: Demand, shape: int) -> View:
        """The view of a demand, brought up to date."""
        view = self._by_shape.get(shape)
        if view is None:
            # Which nodes a cap allows depends on how many of the prices there are it covers, and on nothing else of it.
            key = (msgspec.structs.replace(demand, remaining_cap=0), self._affordable(demand))
            view = self._views.get(key)
            if view is None:
                view = self._views[key] = View(demand, self._size(demand))
            self._views.move_to_end(key)
            self._by_shape[shape] = view
            self._evict()
        size = view.size
        if size.read < self._forgotten + len(self._log):
            self._grow(size)
        if view.met < self._moves_forgotten or view.read < size.forgotten:
            self._rebuild(view)
            return view
        if view.met < self._moves_forgotten + len(self._moves):
            for offer in self._moves[view.met - self._moves_forgotten :]:
                self._meet(view, offer)
            view.met = self._moves_forgotten + len(self._moves)
        if view.read < size.forgotten + len(size.log):
            fixed_of, heap = view.fixed.get, view.heap
            for version, offer in size.log[view.read - size.forgotten :]:
                if offer.version == version and (fixed := fixed_of(offer)) is not None:
                    heapq.heappush(heap, (fixed + offer.moving, offer.tie, offer.number, version, offer))
            view.read = size.forgotten + len(size.log)
            if len(heap) > 2 * len(self._offers) + 64:
                view.heap = [entry for entry in heap if entry[3] == entry[4].version]
                heapq.heapify(view.heap)
        return view

    def _size(self, demand: Demand) -> _Size:
        key = (demand.cpu_milli, demand.memory_bytes, demand.disk_bytes, demand.gpus, demand.vram_bytes)
        size = self._sizes.get(key)
        if size is None:
            if len(self._sizes) > 2 * len(self._views) + 64:
                self._sizes = {key: size for key, size in self._sizes.items() if size.read >= self._forgotten}
            size = self._sizes[key] = _Size(demand)
        return size

    def _grow(self, size: _Size) -> None:
        """Note who got room for this size since the last time."""
        if size.read < self._forgotten:
            size.forgotten += len(size.log) + 1  # what was missed here, views find by looking at all nodes
            size.log.clear()
        else:
            demand, log = size.demand, size.log
            for offer in dict.fromkeys(self._log[size.read - self._forgotten :]):
                if offer.listed and offer.has_room(demand):
                    log.append((offer.version, offer))
            if len(log) > 4 * len(self._offers) + 1024:
                size.forgotten += len(log) // 2
                del log[: len(log) // 2]
        size.read = self._forgotten + len(self._log)

    def _meet(self, view: View, offer: Offer) -> None:
        """A node came, or went."""
        view.listed = None
        if not self._is_here(offer):
            view.fixed.pop(offer, None)
        elif exclusion(view.demand, offer.capabilities, offer.ask) is None:
            view.fixed[offer] = self._rule.fixed(view.demand, offer)

    def _rebuild(self, view: View) -> None:
        known = view.fixed
        view.fixed = {}
        for offer in self._offers.values():
            if offer in known:
                view.fixed[offer] = known[offer]
            else:
                self._meet(view, offer)
        view.listed = None
        view.heap = [
            (fixed + offer.moving, offer.tie, offer.number, offer.version, offer)
            for offer, fixed in view.fixed.items()
            if offer.listed and offer.has_room(view.demand)
        ]
        heapq.heapify(view.heap)
        view.met = self._moves_forgotten + len(self._moves)
        view.read = view.size.forgotten + len(view.size.log)

    def _affordable(self, demand: Demand) -> int:
        prices = self._prices.get(demand.timeout_s)
        if prices is None:
            prices = self._prices[demand.timeout_s] = sorted({worst_price(ask, demand.timeout_s) for ask in self._asks})
        return bisect_right(prices, demand.remaining_cap)

    def _evict(self) -> None:
        while len(self._views) > 8 and len(self._views) * len(self._offers) > VIEW_ENTRIES:
            self._views.popitem(last=False)
            self._by_shape.clear()
        if len(self._by_shape) > VIEW_ENTRIES // 10:
            self._by_shape.clear()
