"""Wake-ups within one process. They are hints: whoever waits also looks for itself at least once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID
from weakref import WeakValueDictionary


class Hint:
    """Something happened that several may be waiting for."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._happened = 0

    @property
    def count(self) -> int:
        """How often it happened; take it before looking at the state, and pass it to `wait`."""
        return self._happened

    def give(self) -> None:
        """Wake everyone who waits."""
        self._happened += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Return when it happened after `seen` was taken, or after `timeout_s`."""
        if self._happened != seen:
            return
        # Not `wait_for`, which would wake its caller a turn of the loop later: after whoever answers the request that
        # gave the hint, where the question for work could have been on its way to the database meanwhile.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.add(future)
        timer = loop.call_later(timeout_s, _let_go, future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ProjectHints:
    """A hint for each project that somebody waits for news of, so that one project's work wakes no other's readers."""

    def __init__(self) -> None:
        self._hints: WeakValueDictionary[UUID, Hint] = WeakValueDictionary()

    def of(self, project_id: UUID) -> Hint:
        """The project's hint, there for as long as somebody holds it."""
        hint = self._hints.get(project_id)
        if hint is None:
            hint = self._hints[project_id] = Hint()
        return hint

    def give(self, project_ids: Iterable[UUID]) -> None:
        """Wake who waits for news of these projects."""
        for project_id in project_ids:
            hint = self._hints.get(project_id)
            if hint is not None:
                hint.give()


class Hints:
    """The hints rooms give each other."""

    def __init__(self) -> None:
        self.ready = Hint()
        """There may be work to lease, or a node with room for it."""
        self.events = ProjectHints()
        """There are new events."""
