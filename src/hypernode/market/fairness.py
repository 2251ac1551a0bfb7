"""Whose turn it is: dominant resource fairness between projects, rank within one.

The next task goes to the project whose dominant share is smallest: the largest of the shares of processors, memory,
disk, GPUs and slots that it holds now (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, progressive filling).
Only what is held counts, not what was held before, so that nothing must be remembered over a restart or told to another
coordinator, and nobody gains by wrong estimates of how long tasks take.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from hypernode.market.model import Demand, Ready
from hypernode.nodes.model import Capabilities

PRIORITY_S: Final = 600.0
"""How much waiting one step of priority is worth. Bounded, so that what has a low priority comes late and not never."""
RETRY_S: Final = 1e-6
"""How much earlier a task that is tried again comes than the rest of its array, of which it once was the front."""


SHORT: Final = 0.2
"""How much later a task's turn comes, for each second that it may take: short ones go first, which shortens the mean
wait most (Smith, "Various optimizers for single-stage production", 1956), but waiting counts five times as much."""
LONG_S: Final = 24 * 3600
"""Longer timeouts than this make no difference, so that what they cost is bounded."""


def delay_of(priority: int, timeout_s: int) -> float:
    """How long after its submission a job has its turn among those of its project, in seconds; may be negative."""
    return SHORT * min(timeout_s, LONG_S) - PRIORITY_S * priority


def rank_of(submitted: float, priority: int, timeout_s: int, *, retried: bool = False) -> float:
    """The turn of a job's tasks among those of its project: lower comes first. The database computes the same, in
    `insert_jobs` and `requeue`."""
    return submitted + delay_of(priority, timeout_s) - RETRY_S * retried


class Shares:
    """How much of everything each project holds."""

    def __init__(self) -> None:
        self._total = [0, 0, 0, 0, 0]
        self._held: dict[UUID, list[int]] = {}

    def grow(self, has: Capabilities, sign: int = 1) -> None:
        """There is more, or with -1 less."""
        for index, amount in enumerate(
            (has.cpu_milli, has.memory_bytes, has.disk_bytes, len(has.gpus), has.slots),
        ):
            self._total[index] += sign * amount

    def hold(self, project: UUID, demand: Demand, sign: int = 1) -> None:
        """A project holds one task more, or with -1 less."""
        held = self._held.get(project)
        if held is None:
            held = self._held[project] = [0, 0, 0, 0, 0]
        held[0] += sign * demand.cpu_milli
        held[1] += sign * demand.memory_bytes
        held[2] += sign * demand.disk_bytes
        held[3] += sign * demand.gpus
        held[4] += sign
        if not held[4]:
            del self._held[project]

    def dominant(self, project: UUID) -> float:
        """A project's dominant share, 0 to 1 (above 1 when nodes have left meanwhile)."""
        held = self._held.get(project)
        if held is None:
            return 0.0
        return max(amount / total for amount, total in zip(held, self._total, strict=True) if total and amount)

    def size(self, demand: Demand) -> float:
        """By how much one task of this demand changes a dominant share at most."""
        wants = (demand.cpu_milli, demand.memory_bytes, demand.disk_bytes, demand.gpus, 1)
        return max((amount / total for amount, total in zip(wants, self._total, strict=True) if total), default=1.0)


class Waiting:
    """Ready work with its next task."""

    __slots__ = ("next", "ready")

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.next = ready.first


class Line:
    """The work of one project that waits, by shape and rank."""

    def __init__(self) -> None:
        self._by_shape: dict[int, list[tuple[float, int, Waiting]]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_shape)

    def __contains__(self, shape: int) -> bool:
        return shape in self._by_shape

    def add(self, waiting: Waiting) -> None:
        """It waits, from now on."""
        ready = waiting.ready
        heapq.heappush(self._by_shape.setdefault(ready.shape, []), (ready.rank, ready.queue_id, waiting))

    def heads(self) -> Iterator[tuple[float, int, Waiting]]:
        """The first of each shape."""
        return (entries[0] for entries in self._by_shape.values())

    def pop(self, shape: int) -> tuple[float, int, Waiting] | None:
        """Take the first of a shape out; returns the one behind it."""
        entries = self._by_shape[shape]
        heapq.heappop(entries)
        if entries:
            return entries[0]
        del self._by_shape[shape]
        return None

    def drop(self, waiting: Waiting) -> None:
        """Take out one that need not be the first."""
        shape = waiting.ready.shape
        left = [entry for entry in self._by_shape[shape] if entry[2] is not waiting]
        heapq.heapify(left)
        if left:
            self._by_shape[shape] = left
        else:
            del self._by_shape[shape]


class Backlog:
    """All work that waits, by project."""

    def __init__(self, work: Iterable[Ready] = ()) -> None:
        self.lines: dict[UUID, Line] = {}
        self.by_id: dict[int, Waiting] = {}
        for ready in work:
            self.add(ready)

    def add(self, ready: Ready) -> None:
        """Work that can be leased from now on."""
        waiting = self.by_id[ready.queue_id] = Waiting(ready)
        self.lines.setdefault(ready.project, Line()).add(waiting)

    def remove(self, waiting: Waiting) -> None:
        """It waits no more, wherever it stood."""
        line = self.lines[waiting.ready.project]
        line.drop(waiting)
        self.forget(waiting)

    def forget(self, waiting: Waiting) -> None:
        """It has left its line."""
        del self.by_id[waiting.ready.queue_id]
        if not self.lines[waiting.ready.project]:
            del self.lines[waiting.ready.project]


class Turn:
    """One look through a project's line, by rank: what is skipped is not seen again, what is taken leaves the line."""

    def __init__(self, backlog: Backlog, project: UUID) -> None:
        self._backlog = backlog
        self._line = backlog.lines[project]
        self._heads = list(self._line.heads())
        heapq.heapify(self._heads)
        self.led = False
        """Whether it has been said who leads the line: the first whose task some node could run."""

    def next(self) -> Waiting | None:
        """Whose turn it is."""
        return self._heads[0][2] if self._heads else None

    def skip(self) -> None:
        """It finds no room, nor would any of its shape: they keep their place and wait for the next look."""
        heapq.heappop(self._heads)

    def take(self) -> None:
        """Its next task was given out."""
        self.led = True
        waiting = self._heads[0][2]
        waiting.next += 1
        if waiting.next < waiting.ready.beyond:
            return
        behind = self._line.pop(waiting.ready.shape)
        if behind is None:
            heapq.heappop(self._heads)
        else:
            heapq.heapreplace(self._heads, behind)
        self._backlog.forget(waiting)
