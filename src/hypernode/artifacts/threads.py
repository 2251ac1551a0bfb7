"""File work in threads that survives cancellation in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns or raises, run in a thread.

    Unlike `asyncio.to_thread`, a cancelled caller waits until the thread is done before the cancellation goes on: a
    lock or a file descriptor that the work uses is never released under it.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:  # asked again: still only after the thread
                continue
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as forgotten
        raise
