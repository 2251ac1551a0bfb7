"""What a node offers now: what it has, what it asks, what it holds, and so what is free."""

from __future__ import annotations

import math
from typing import Final
from uuid import UUID

import msgspec

from hypernode.market.model import Demand
from hypernode.nodes.model import Ask, Capabilities


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a node beside what it offers. Everything is neutral until the network has measured it: nothing
    here is what a node says of itself."""

    speed: float = 1.0
    """How fast it runs jobs, by benchmark; 1 is what is not measured."""
    reputation: float = 1.0
    """By verified results; 1 is what has none yet."""
    boost: float = 1.0
    """Of its tier."""
    watts: float = 1.0
    """For the same work, beside an average node's."""
    losses_per_s: float = 0.0
    """How often it lost what it held, per second of holding: see `standing.loss_rate`."""


NEUTRAL: Final = Standing()


class Holding(msgspec.Struct, eq=False):
    """A task that a node holds. Compared by identity."""

    demand: Demand
    project: UUID
    until: float
    """When it will have ended, at the latest as far as its timeout says (seconds of the caller's clock)."""


class Reservation(msgspec.Struct, frozen=True):
    """Room that is kept on a node for a task which found none: the node takes nothing else that would be in its way."""

    queue_id: int
    project: UUID
    demand: Demand
    start: float
    """When there will be room, at the latest as far as timeouts say."""


class Offer(msgspec.Struct, eq=False):
    """A node that is connected. Mutable: matching takes from it what it assigns. Compared by identity."""

    node: str
    capabilities: Capabilities
    ask: Ask
    free_slots: int
    free_cpu_milli: int
    free_memory_bytes: int
    free_disk_bytes: int
    free_gpus: int
    standing: Standing = NEUTRAL
    holdings: dict[Holding, None] = {}
    open: bool = True
    """Whether it may be given anything now."""
    reservation: Reservation | None = None
    number: int = 0
    tie: int = 0
    version: int = 0
    listed: bool = False
    moving: float = 0.0
    """From `number` on, it is the pool's."""

    def take(self, holding: Holding) -> None:
        """Reserve what a task needs."""
        demand = holding.demand
        self.free_slots -= 1
        self.free_cpu_milli -= demand.cpu_milli
        self.free_memory_bytes -= demand.memory_bytes
        self.free_disk_bytes -= demand.disk_bytes
        self.free_gpus -= demand.gpus
        self.holdings[holding] = None

    def give_back(self, holding: Holding) -> None:
        """Undo `take`."""
        del self.holdings[holding]
        demand = holding.demand
        self.free_slots += 1
        self.free_cpu_milli += demand.cpu_milli
        self.free_memory_bytes += demand.memory_bytes
        self.free_disk_bytes += demand.disk_bytes
        self.free_gpus += demand.gpus

    def has_room(self, demand: Demand) -> bool:
        """Whether the task fits beside what the node holds now."""
        return (
            self.free_slots >= 1
            and self.free_cpu_milli >= demand.cpu_milli
            and self.free_memory_bytes >= demand.memory_bytes
            and self.free_disk_bytes >= demand.disk_bytes
            and (not demand.gpus or (self.free_gpus >= demand.gpus and self._has_gpus(list(self.holdings), [demand])))
        )

    def has_room_for(self, demands: list[Demand]) -> bool:
        """Whether all of these tasks fit beside what the node holds now."""
        return self._fit(list(self.holdings), demands)

    def start_of(self, demand: Demand, now: float) -> float:
        """When the task would fit, at the latest as far as the timeouts of what it waits for say; infinity if never."""
        if self.has_room(demand):
            return now
        ends = sorted(self.holdings, key=lambda holding: holding.until)
        for count in range(1, len(ends) + 1):
            if self._fit(ends[count:], [demand]):
                return max(now, ends[count - 1].until)
        return math.inf

    def lets_in(self, demand: Demand, now: float) -> bool:
        """Whether the task fits now and is not in the way of whom the node is kept for: it has ended before, or there
        is room for both (EASY backfilling: Lifka, "The ANL/IBM SP scheduling system", 1995)."""
        kept = self.reservation
        if not self.has_room(demand):
            return False
        if kept is None or now + demand.timeout_s <= kept.start:
            return True
        return self._fit([held for held in self.holdings if held.until > kept.start], [demand, kept.demand])

    def _fit(self, held: list[Holding], more: list[Demand]) -> bool:
        """Whether the node could hold all of these at once."""
        has = self.capabilities
        demands = [*(holding.demand for holding in held), *more]
        return (
            len(demands) <= has.slots
            and sum(one.cpu_milli for one in demands) <= has.cpu_milli
            and sum(one.memory_bytes for one in demands) <= has.memory_bytes
            and sum(one.disk_bytes for one in demands) <= has.disk_bytes
            and self._has_gpus(held, more)
        )

    def _has_gpus(self, held: list[Holding], more: list[Demand]) -> bool:
        """Whether all tasks can have GPUs large enough at once: the largest demand with the largest GPU, and so on."""
        demands = [*(holding.demand for holding in held), *more]
        wanted = sorted((one.vram_bytes for one in demands for _ in range(one.gpus)), reverse=True)
        there = sorted((gpu.vram_bytes for gpu in self.capabilities.gpus), reverse=True)
        return len(wanted) <= len(there) and all(a <= b for a, b in zip(wanted, there, strict=False))


def idle_offer(node: str, capabilities: Capabilities, ask: Ask, standing: Standing = NEUTRAL) -> Offer:
    """The offer of a node that holds nothing."""
    return Offer(
        node=node,
        capabilities=capabilities,
        ask=ask,
        free_slots=capabilities.slots,
        free_cpu_milli=capabilities.cpu_milli,
        free_memory_bytes=capabilities.memory_bytes,
        free_disk_bytes=capabilities.disk_bytes,
        free_gpus=len(capabilities.gpus),
        standing=standing,
    )
