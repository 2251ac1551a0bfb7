"""Work that several wait for, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class _Work:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.waiting = 0


class SharedWork:
    """Who asks for what is being done already waits for that. It is stopped when nobody waits for it any more."""

    def __init__(self) -> None:
        self._all: dict[str, _Work] = {}

    async def join(self, key: str, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until the work named `key` is done, started by `start` if nobody has. Raises what it raises."""
        work = self._all.get(key)
        if work is None:
            work = self._all[key] = _Work(asyncio.create_task(start()))
        work.waiting += 1
        try:
            await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if not work.waiting:
                if self._all.get(key) is work:
                    del self._all[key]
                work.task.cancel()
                await asyncio.gather(work.task, return_exceptions=True)
