"""Who leaves room to whom: work that could run on many nodes gives way, for a while, to work that finds no other room.

Without that, whoever holds least takes whatever room there is first: tasks of one core break the room for sixteen that
a larger task waits for, and what may cost much takes the cheap nodes, the only ones that others can pay for. Room is
then left that nothing waiting fits in, or may pay for. Broken room stays so until all that runs there has ended, so it
is not only the first of a line that is given way to: what is large would gather behind what is small otherwise, until
nothing else waits and nothing fits.

Giving way is delay scheduling (Zaharia et al., "Delay Scheduling: A Simple Technique for Achieving Locality and
Fairness in Cluster Scheduling", EuroSys 2010): bounded in time, so that what it costs in fairness is, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from hypernode.market.fairness import Backlog
from hypernode.market.model import Demand, Ready
from hypernode.market.offers import Offer
from hypernode.market.pool import Pool

YIELD_S: Final = 300.0
"""For how long a project's work of one shape gives way before it takes what there is, until it has found room that
nobody waits for. Only time counts in which there was room for it: without, it gives way to nobody."""
WANTING: Final = 16
"""To so many kinds of work others give way at most. Each costs a look at every assignment."""
WANTING_OF_PROJECT: Final = 4
"""Of which so many are of one project at most, so that none is in the way of all others by asking for many kinds."""


class _Spell(msgspec.Struct, frozen=True):
    """Work that gives way."""

    at: float
    """When it did last."""
    for_s: float
    """For how long until then."""


class Yielding:
    """Remembers what found no room, and for how long work has given way."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wanting: list[Ready] = []
        self._looked, self._looked_before = -math.inf, -math.inf
        self._gave_way: dict[tuple[UUID, int], _Spell] = {}
        """By project and shape."""

    def look(self, backlog: Backlog, now: float) -> None:
        """A look at everything that waits begins."""
        self._looked, self._looked_before = now, self._looked
        lines = backlog.lines
        for known in [(project, shape) for project, shape in self._gave_way if shape not in lines.get(project, ())]:
            del self._gave_way[known]

    def found_no_room(self, work: Iterable[Ready]) -> None:
        """What found no room in a look at everything, those first that come first where there are too many kinds. It is
        given way to until the next such look."""
        kinds: dict[tuple[Demand, int], Ready] = {}
        count = Counter[UUID]()
        for ready in work:
            if len(kinds) == WANTING:
                break
            if count[ready.project] < WANTING_OF_PROJECT and (kind := self._kind(ready)) not in kinds:
                kinds[kind] = ready
                count[ready.project] += 1
        self._wanting = list(kinds.values())

    def _kind(self, ready: Ready) -> tuple[Demand, int]:
        """The same for work that fits the same room on the same nodes: what a task may cost matters by how many nodes
        that leaves it, for how long it may run not at all."""
        size = msgspec.structs.replace(ready.demand, timeout_s=0, remaining_cap=0)
        return size, len(self._pool.eligible(ready))

    def should(self, ready: Ready, offer: Offer, now: float) -> bool:
        """Whether work that has its turn should leave this room to other work: such that has fewer nodes to choose
        from, found no room, would find it here, and not beside this."""
        key = (ready.project, ready.shape)
        spell = self._gave_way.pop(key, None)
        if not self._is_wanted(ready, offer):
            return False
        if spell is None:
            for_s = 0.0
        elif spell.at >= self._looked_before:
            for_s = spell.for_s + now - spell.at
        else:  # it found no room meanwhile
            for_s = spell.for_s
        self._gave_way[key] = _Spell(now, for_s)
        return for_s < YIELD_S

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
