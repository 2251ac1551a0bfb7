"""Who leaves room to whom: work that could run on many nodes gives way, for a while, to work that finds no other room.

Without that, whoever holds least takes whatever room there is first: tasks of one core break the room for sixteen that
a larger task waits for, and what may cost much takes the cheap nodes, the only ones that others can pay for. Room is
then left that nothing waiting fits in, or may pay for.

Giving way is delay scheduling (Zaharia et al., "Delay Scheduling: A Simple Technique for Achieving Locality and
Fairness in Cluster Scheduling", EuroSys 2010): bounded in time, so that what it costs in fairness is, too.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final
from uuid import UUID

from hypernode.market.model import Ready
from hypernode.market.offers import Offer
from hypernode.market.pool import Pool

YIELD_S: Final = 30.0
"""How long a project gives way before it takes what there is, until it has found room that nobody waits for: about what
it takes until a task ends somewhere that is no smaller than need be."""
WANTING: Final = 16
"""For so many lines others give way at most: those that hold least. Each costs a look at every assignment."""


class Yielding:
    """Remembers who found no room, and for how long each project has given way."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wanting: list[Ready] = []
        self._since: dict[UUID, float] = {}

    def found_no_room(self, firsts: Sequence[Ready]) -> None:
        """The first of each line that found no room in a look at everything, those that hold least before others. They
        are given way to until the next such look."""
        self._wanting = list(firsts[:WANTING])

    def keep_only(self, projects: Container[UUID]) -> None:
        """The others have nothing that waits."""
        for project in [project for project in self._since if project not in projects]:
            del self._since[project]

    def should(self, ready: Ready, offer: Offer, now: float) -> bool:
        """Whether work that has its turn should leave this room to others: those that have fewer nodes to choose from,
        found no room, would find it here, and not beside this."""
        if not self._is_wanted(ready, offer):
            self._since.pop(ready.project, None)
            return False
        return now - self._since.setdefault(ready.project, now) < YIELD_S

    def _is_wanted(self, ready: Ready, offer: Offer) -> bool:
        if not self._wanting:
            return False
        choice = len(self._pool.eligible(ready))
        for other in self._wanting:
            eligible = self._pool.eligible(other)
            if (
                len(eligible) < choice
                and offer in eligible
                and offer.has_room(other.demand)
                and not offer.has_room_for([ready.demand, other.demand])
            ):
                return True
        return False
