"""Matching, pure: who is next (`fairness`), and where (`pool`); and room kept for those that find none.

The coordinator and the simulator run this same code. Time and chance are passed in: the same calls in the same order
give the same assignments.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from hypernode.market.fairness import Backlog, Turn, Waiting
from hypernode.market.model import Assignment, Ready
from hypernode.market.offers import Holding, Offer, Reservation
from hypernode.market.pool import Pool
from hypernode.market.yielding import Yielding

PATIENCE_S: Final = 30.0
"""How long the first of a project's line may find no room before a node is kept for it."""
RESERVED_SHARE: Final = 0.25
"""Of all nodes at most so many are kept for somebody, but at least one."""


class Given(msgspec.Struct, frozen=True):
    """A task that was given to a node: what is to be committed, and where its room was taken."""

    assignment: Assignment
    offer: Offer
    holding: Holding


class _Look(msgspec.Struct):
    """One look at what waits."""

    backlog: Backlog
    now: float
    blocked: set[int]
    fresh: bool
    """Whether it is at everything; otherwise it goes on behind what is blocked."""
    given: list[Given] = []
    roomless: list[Ready] = []
    """The first of each shape in each project's line whose task some node could run, and none has room for: those of
    projects that hold least before others, and by their turn within one."""
    yielded: dict[UUID, None] = {}
    """Who gave way."""


class Matcher:
    """Decides on what is in memory, and remembers for whom room is kept.

    Guarantees, given tasks that end by their timeouts and nodes that stay: a task that is eligible somewhere is leased
    after bounded time once it is first in its line, since a node is kept for it; and whenever a project is given a
    task, no project with a smaller dominant share has waiting work that fits anywhere, but for tasks that are given
    the room kept for them, and work that gives way for up to `YIELD_S`. No room is left that anything fits in.
    """

    def __init__(self, pool: Pool, seed: int = 0, *, reserving: bool = True) -> None:
        """`reserving` is switched off by the simulator's baselines only: nobody has room kept, or is given way to."""
        self._pool = pool
        self._seed = seed
        self._reserving = reserving
        self.reserved: Final[dict[int, tuple[Offer, Reservation]]] = {}
        """By queue id."""
        self._kept_for: dict[UUID, int] = {}
        self._since: dict[UUID, tuple[int, int, float]] = {}
        """Who is first in each project's line without finding room, and since when."""
        self._ties: dict[UUID, int] = {}
        self._yielding = Yielding(pool)

    def decide(self, backlog: Backlog, now: float, blocked: set[int]) -> list[Given]:
        """Give out what waits, as long as anything fits anywhere; takes from backlog and pool what it assigns.

        `blocked` are shapes known not to fit; those found not to fit are added. A call with an empty one is taken for
        the beginning of a look at everything: for what is not in the backlog then, no room is kept any more.
        """
        look = _Look(backlog, now, blocked, fresh=not blocked)
        if look.fresh:
            self._review(look)
        self._take_turns(look, backlog.lines, yielding=True)
        if look.yielded:  # what is left by those they gave way to is theirs, so that no room stays empty
            self._take_turns(look, [project for project in look.yielded if project in backlog.lines], yielding=False)
        if look.fresh and self._reserving:
            self._yielding.found_no_room(look.roomless)
        return look.given

    def _take_turns(self, look: _Look, projects: Iterable[UUID], *, yielding: bool) -> None:
        """Until nothing of these projects fits anywhere. `yielding`: work may give way to others."""
        turns: dict[UUID, Turn] = {}
        queue = [(self._share(project), self._tie(project), project) for project in projects]
        heapq.heapify(queue)
        while queue:
            _, tie, project = queue[0]
            turn = turns.get(project)
            if turn is None:
                turn = turns[project] = Turn(look.backlog, project)
            waiting = turn.next()
            if waiting is None:
                heapq.heappop(queue)
                continue
            ready = waiting.ready
            offer = None if ready.shape in look.blocked else self._pool.best(ready, look.now)
            if offer is None:
                look.blocked.add(ready.shape)
                if look.fresh and yielding and self._pool.eligible(ready):
                    look.roomless.append(ready)
                    if not turn.led:
                        turn.led = True
                        self._stand(waiting, look.now)
                turn.skip()
                continue
            if yielding and self._yielding.should(ready, offer, look.now):
                look.yielded[project] = None
                turn.skip()
                continue
            look.given.append(self._give(waiting, offer, look.now))
            turn.take()
            heapq.heapreplace(queue, (self._share(project), tie, project))

    def _give(self, waiting: Waiting, offer: Offer, now: float) -> Given:
        ready = waiting.ready
        self.release(ready.queue_id)
        holding = Holding(ready.demand, ready.project, now + ready.demand.timeout_s)
        self._pool.take(offer, holding, ready.needs)
        return Given(Assignment(ready, waiting.next, offer.node), offer, holding)

    def _share(self, project: UUID) -> float:
        return self._pool.shares.dominant(project)

    def _tie(self, project: UUID) -> int:
        tie = self._ties.get(project)
        if tie is None:
            if len(self._ties) > 100_000:
                self._ties.clear()
            digest = hashlib.blake2b(project.bytes, digest_size=8, salt=self._seed.to_bytes(8, "big")).digest()
            tie = self._ties[project] = int.from_bytes(digest, "big")
        return tie

    # ── keeping room ────────────────────────────────────────────────────────────────────────────────────────────────

    def _stand(self, waiting: Waiting, now: float) -> None:
        """The first of a line finds no room. After a while a node is kept for it: of some that could run it, the one
        on which there will be room first, so far as timeouts say."""
        ready = waiting.ready
        project = ready.project
        known = self._since.get(project)
        if known is None or known[:2] != (ready.queue_id, waiting.next):
            self._since[project] = (ready.queue_id, waiting.next, now)
            return
        most = max(1, int(len(self._pool) * RESERVED_SHARE))
        if (
            not self._reserving
            or now - known[2] < PATIENCE_S
            or project in self._kept_for
            or len(self.reserved) >= most
        ):
            return
        starts = [(offer.start_of(ready.demand, now), offer.tie, offer) for offer in self._pool.candidates(ready)]
        start, _, offer = min(starts, key=lambda one: one[:2], default=(math.inf, 0, None))
        if offer is not None and start < math.inf:
            self._keep(offer, Reservation(ready.queue_id, project, ready.demand, start))

    def _keep(self, offer: Offer, reservation: Reservation) -> None:
        self._pool.reserve(offer, reservation)
        self.reserved[reservation.queue_id] = (offer, reservation)
        self._kept_for[reservation.project] = reservation.queue_id

    def release(self, queue_id: int) -> None:
        """Room is kept for this no more, if it was."""
        known = self.reserved.pop(queue_id, None)
        if known is not None:
            offer, reservation = known
            self._pool.reserve(offer, None)
            del self._kept_for[reservation.project]

    def _review(self, look: _Look) -> None:
        """Who has room kept gets it once it is there; what is kept for nobody is given free."""
        backlog, now = look.backlog, look.now
        for project in self._since.keys() - backlog.lines.keys():
            del self._since[project]
        self._yielding.look(backlog, now)
        for queue_id, (offer, kept) in list(self.reserved.items()):
            waiting = backlog.by_id.get(queue_id)
            if waiting is None or offer not in self._pool or not offer.open:
                self.release(queue_id)
            elif offer.has_room(kept.demand):
                look.given.append(self._give(waiting, offer, now))
                waiting.next += 1
                if waiting.next == waiting.ready.beyond:
                    backlog.remove(waiting)
            elif kept.start <= now:  # what it waits for takes longer than its timeout says, such as to report
                renewed = Reservation(queue_id, kept.project, kept.demand, offer.start_of(kept.demand, now))
                self.release(queue_id)
                self._keep(offer, renewed)
