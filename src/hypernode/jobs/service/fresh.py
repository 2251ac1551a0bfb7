"""Work that has just come in, handed from whoever wrote it to whoever gives it out: where nothing else waits,
nobody need look at the queue to know whose turn it is.

What is handed over is only a copy, and a lease is committed with a check of what the queue holds. All that could go
wrong is the order, so work is taken from here only where a look would find the same:

- The last look found no line at all, not even one of work that has yet to become ready.
- All that this coordinator has taken in since is here.
- The last look began less than a second ago. What is tried again is not ready sooner, and what another coordinator
  takes in may wait as long for a look in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hypernode.kernel import limits
from hypernode.market.model import Ready


class Fresh:
    """What came in since the last look at the queue began. One look at a time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._work: list[Ready] = []
        self._whole = True
        """Whether that is all that came in."""
        self._looked_at = 0.0
        self._alone = False
        """Whether nothing waited when the last look began, and nothing was taken from here since."""

    def put(self, work: Sequence[Ready] | None) -> None:
        """Work was committed, so every look that begins from now on sees it. None: some was, or may have been, and it
        is not known what."""
        if work is None or len(self._work) + len(work) > limits.MATCH_PAGE:
            self._work, self._whole = [], False
        elif self._whole:
            self._work += work

    def take(self) -> list[Ready]:
        """All that waits; nothing where only a look can say what that is."""
        if not (self._work and self._alone and self._now() < self._looked_at + limits.POLL_S):
            return []
        work, self._work = self._work, []
        self._alone = False  # whether all of it finds room is not known here
        return work

    def begin_look(self) -> None:
        """A look begins: it sees all that came in until now."""
        self._work, self._whole, self._alone = [], True, False
        self._looked_at = self._now()

    def end_look(self, *, empty: bool) -> None:
        """The look is over. `empty`: nothing waits, for now or for later."""
        self._alone = empty
