"""Where the lines of projects begin, so that a look at the queue need not pass over all that was taken from it.

A row that was taken stays in the indexes until vacuum has removed it, and while somebody's old transaction keeps vacuum
away, these are all that were ever taken since. So a look begins where the look before found the first row of a line.
That never hides a row:

- What comes in with an earlier turn (a priority, a task that is tried again), or to a line that was empty, is found by
  its id: ids are counted up, and each look goes back to those that were given out a while before the look before.
- What took longer than that from its id to its commit, or has too many after it, is found by the look at all lines,
  which comes every second, or less often while it takes long, but always comes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from hypernode.db.pool import Pool
from hypernode.jobs.store import queries
from hypernode.kernel import limits

SHARE: Final = 0.02
"""At most this share of the time goes into looking at all lines."""
COMMIT_S: Final = 0.25
"""From the drawing of a row's id to its commit: what takes longer may be found by the look at all lines only."""
LOOK_BACK: Final = 10_000
"""No look goes back further than so many ids."""

_FIND_LINES: Final = queries.find_lines
_FIND_READY: Final = queries.find_ready


class Lines:
    """The lines of all projects as one coordinator knows them. One look at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[UUID, datetime] = {}
        self._all_at = 0.0
        self._newest: deque[tuple[float, int]] = deque([(0.0, 0)])
        """Looks, by when they began, with the newest id given out by then: all that are newer were given out later."""

    @property
    def empty(self) -> bool:
        """Whether the last look found no line at all, not even one of which nothing is ready yet."""
        return not self._known

    async def look(self, without_shapes: Sequence[int], limit: int) -> list[Any]:
        """The rows at the front of every project's line that are ready, leaving out some shapes: at most `limit`, but
        one of each project."""
        began = time.monotonic()
        if began >= self._all_at:
            await self._look_at_all(began)
            began = time.monotonic()
        rows = await self._pool.fetch(
            _FIND_READY, list(without_shapes), limit, list(self._known), list(self._known.values()), self._since()
        )
        self._known = {row["project_id"]: row["line_from"] for row in rows if row["project_id"] is not None}
        self._newest.append((began, rows[0]["newest"]))
        return [row for row in rows if row["id"] is not None]

    async def _look_at_all(self, began: float) -> None:
        rows = await self._pool.fetch(_FIND_LINES)
        self._known = {row["project_id"]: row["turn_at"] for row in rows if row["project_id"] is not None}
        self._newest.append((began, rows[0]["newest"]))
        self._all_at = began + max(limits.POLL_S, (time.monotonic() - began) / SHARE)

    def _since(self) -> int:
        """The newest id that had been given out `COMMIT_S` before the last look: rows up to there it could see."""
        until = self._newest[-1][0] - COMMIT_S
        while len(self._newest) > 1 and self._newest[1][0] <= until:
            self._newest.popleft()
        return max(self._newest[0][1], self._newest[-1][1] - LOOK_BACK)
