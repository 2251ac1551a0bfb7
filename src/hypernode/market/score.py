"""Which of several eligible nodes with room is best for a task. All weights of matching are here.

A score is a weighted product of ratios, taken as the sum of their logarithms (the weighted product model: Bridgman,
"Dimensional Analysis", 1922), so that no term needs a scale: a node twice as dear is as much worse whether it costs
1 or 1,000 µHYPER. Lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from hypernode.market.model import Demand
from hypernode.market.offers import Offer


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """How much each term counts. For ratios: how many doublings of the price one doubling of it is worth."""

    price: float = 1.0
    """What the task is expected to cost there: its timeout at the node's speed."""
    speed: float = 0.5
    """Beside making the task cheaper, a faster node ends it sooner."""
    reputation: float = 0.5
    """Reputation times the boost of the node's tier."""
    energy: float = 0.1
    risk: float = 1.0
    """How often the task is expected to be started until it ends, given how often the node loses what it holds."""
    packing: float = 2.0
    """Of the share of the node that stays free, 0 to 1: the tightest node that fits is best, so that large ones stay
    whole, and GPUs are not blocked by tasks that need none."""
    warm: float = 0.5
    """Of the share of environment, image and large inputs that the node has, 0 to 1: the task starts sooner."""


WEIGHTS: Final = Weights()

Fixed: TypeAlias = Callable[[Demand, Offer], float]
"""The part of a score that changes only when a node connects anew."""


def fixed_terms(demand: Demand, offer: Offer) -> float:
    """Price, speed, reputation, energy and risk, and what of packing depends on the task."""
    standing, ask = offer.standing, offer.ask
    seconds = demand.timeout_s / standing.speed
    price = ask.rate_per_second * seconds + ask.fixed
    return (
        WEIGHTS.price * math.log2(1.0 + price)
        - WEIGHTS.speed * math.log2(standing.speed)
        - WEIGHTS.reputation * math.log2(standing.reputation * standing.boost)
        + WEIGHTS.energy * math.log2(standing.watts)
        # A task that is lost at a rate λ is started exp(λ t) times until it lasts t: log2 of that. Bounded, since by
        # then nothing about the node is known that well.
        + WEIGHTS.risk * min(8.0, standing.losses_per_s * seconds * math.log2(math.e))
        - WEIGHTS.packing * part_of(demand, offer)
    )


def spare(offer: Offer) -> float:
    """Packing: the share of the node that is free, weighted."""
    return WEIGHTS.packing * free_part(offer)


def free_part(offer: Offer) -> float:
    """How much of a node is free, 0 to 1: the mean over processors and memory, and GPUs, which count as much as those
    two together. After a task is placed it is less by the task's `part_of` the node."""
    has = offer.capabilities
    free = offer.free_cpu_milli / max(1, has.cpu_milli) + offer.free_memory_bytes / max(1, has.memory_bytes)
    return (free + 2 * offer.free_gpus / len(has.gpus)) / 4 if has.gpus else free / 2


def part_of(demand: Demand, offer: Offer) -> float:
    """How much of a node a task takes, 0 to 1, as `free_part` counts."""
    has = offer.capabilities
    part = demand.cpu_milli / max(1, has.cpu_milli) + demand.memory_bytes / max(1, has.memory_bytes)
    return (part + 2 * demand.gpus / len(has.gpus)) / 4 if has.gpus else part / 2
