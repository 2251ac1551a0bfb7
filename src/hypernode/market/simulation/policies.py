"""What is compared: matching as the coordinator does it, and simpler rules over the same index and eligibility.

All of them let smaller work pass what finds no room, and none starts a task where its node is not eligible; so what
they differ in is who is next and where.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hypernode.ledger.model import worst_price
from hypernode.market.index import Rule
from hypernode.market.model import Demand
from hypernode.market.offers import Offer
from hypernode.market.score import free_part, part_of


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One way to match."""

    name: str
    about: str
    rule: Rule
    fair: bool = False
    """Whether projects take turns; otherwise all work is one line, in the order of its submission."""
    reserving: bool = False
    measured: bool = False
    """Whether it knows how fast nodes are."""


def _none(demand: Demand, offer: Offer) -> float:
    return 0.0


def _nothing(offer: Offer) -> float:
    return 0.0


def _first(demand: Demand, offer: Offer) -> float:
    return float(offer.number)


def _random(offer: Offer) -> float:
    """Another number each time something changes on the node: drawn by its tie and version (the finalizer of Steele et
    al., "Fast splittable pseudorandom number generators", 2014)."""
    mixed = (offer.tie ^ offer.version * 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 31) / 2**64


def _tightest(demand: Demand, offer: Offer) -> float:
    return -part_of(demand, offer)


def _cheapest(demand: Demand, offer: Offer) -> float:
    return float(worst_price(offer.ask, demand.timeout_s))


def _most_free(offer: Offer) -> float:
    return -offer.free_slots / 2048


POLICIES: Final = (
    Policy(
        name="hypernode",
        about="as the coordinator matches, with what it measures today: it does not know how fast nodes are",
        rule=Rule(),
        fair=True,
        reserving=True,
    ),
    Policy(
        name="hypernode, speeds known",
        about="the same when nodes have been benchmarked",
        rule=Rule(),
        fair=True,
        reserving=True,
        measured=True,
    ),
    Policy(
        name="hypernode, in one line",
        about="the same as the first, but nobody takes turns: all work in the order of its submission",
        rule=Rule(),
        reserving=True,
    ),
    Policy(name="fifo", about="oldest first, to the first node with room", rule=Rule(_first, _nothing, 0.0)),
    Policy(name="random", about="oldest first, to any node with room", rule=Rule(_none, _random, 0.0)),
    Policy(name="best-fit", about="oldest first, to the tightest node with room", rule=Rule(_tightest, free_part, 0.0)),
    Policy(
        name="cheapest",
        about="oldest first, to the cheapest node with room, then the one with most free slots: matching until now",
        rule=Rule(_cheapest, _most_free, 0.0),
    ),
)
