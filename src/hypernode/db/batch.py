"""Coalescing of concurrent writes: many callers, one statement.

One statement for 64 jobs costs a fraction of 64 statements. The batcher waits for nothing to get there: what arrives
while a flush is under way forms the next batch, so an idle system answers at once and a busy one fills its batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from hypernode.kernel.errors import InvariantViolated, Overloaded, Unavailable

T = TypeVar("T")
R = TypeVar("R")

Flush = Callable[[list[T]], Awaitable[Sequence[R | Exception]]]


class Batcher(Generic[T, R]):
    """Turns concurrent `submit(item)` calls into few calls of `flush(items)`.

    `flush` answers in the order of its items; an `Exception` among the answers is raised at that item's caller alone.

    - Items are flushed in the order of submission; with `concurrency` above 1 batches may overtake each other.
    - A batch holds at most `max_items`; at most `concurrency` flushes run at once.
    - The first item of an idle batcher is flushed in the loop's next step, together with what else was submitted in
      this one. With `max_delay_ms` it waits that long for company unless the batch is full.
    - Beyond `max_queue` waiting items, `submit` raises `Overloaded`: the caller passes it on, nothing is dropped.
    - A cancelled caller costs its neighbours nothing. Its item is not flushed if its flush had not begun; otherwise
      it is written, and the answer is lost.
    - A flush that raises fails its items with that exception. If it is one of `isolate` (such as a constraint
      violation, where the transaction wrote nothing), each item is flushed again alone, so that only the bad ones fail.
    """

    def __init__(
        self,
        flush: Flush[T, R],
        *,
        max_items: int = 64,
        max_delay_ms: float = 0,
        max_queue: int = 20_000,
        isolate: tuple[type[Exception], ...] = (),
        concurrency: int = 1,
        name: str = "batch",
    ) -> None:
        if max_items < 1 or max_queue < 1 or concurrency < 1 or max_delay_ms < 0:
            raise ValueError("max_items, max_queue and concurrency are at least 1, max_delay_ms at least 0")
        self._flush = flush
        self._max_items = max_items
        self._max_delay_s = max_delay_ms / 1000
        self._max_queue = max_queue
        self._isolate = isolate
        self._concurrency = concurrency
        self._name = name
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._closed = False

    @property
    def depth(self) -> int:
        """Items waiting for a flush to take them."""
        return len(self._waiting)

    def put(self, item: T) -> asyncio.Future[R]:
        """The answer of `flush` for `item`, to come: for callers that have no task of their own to wait in. Raises
        `Overloaded`, or `Unavailable` once closed."""
        self._make_sure_of_room(1)
        return self._enqueue(item)

    async def submit(self, item: T) -> R:
        """The same, waited for. Raises what `flush` did, too."""
        return await self.put(item)

    async def submit_many(self, items: Sequence[T]) -> list[R | BaseException]:
        """The answers for `items`, in order, with exceptions in their places.

        All or none are taken: raises `Overloaded` or `Unavailable` before the first.
        """
        self._make_sure_of_room(len(items))
        return await asyncio.gather(*[self._enqueue(item) for item in items], return_exceptions=True)

    async def close(self) -> None:
        """Refuses new items and returns when all that were taken have been flushed. May be called twice."""
        self._closed = True
        self._full.set()  # nobody else will come: stop lingering
        while self._workers:
            await asyncio.wait(self._workers)

    def _make_sure_of_room(self, count: int) -> None:
        if self._closed:
            raise Unavailable(f"{self._name}: shutting down")
        if len(self._waiting) + count > self._max_queue:
            raise Overloaded(f"{self._name}: {len(self._waiting)} writes are waiting", retry_after_s=1)

    def _enqueue(self, item: T) -> asyncio.Future[R]:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._max_items:
            self._full.set()
        # One worker gathers the first batch; further ones only start when there is a full batch for them.
        if not self._workers or (
            len(self._workers) < self._concurrency and len(self._waiting) > self._max_items * len(self._workers)
        ):
            worker = asyncio.create_task(self._work(), name=f"batcher {self._name}")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return future

    async def _work(self) -> None:
        """Flushes until nothing waits, then ends: an idle batcher holds no task."""
        try:
            while self._waiting:
                if self._max_delay_s and len(self._waiting) < self._max_items and not self._closed:
                    self._full.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._full.wait(), self._max_delay_s)
                batch: list[tuple[T, asyncio.Future[R]]] = []
                while self._waiting and len(batch) < self._max_items:
                    entry = self._waiting.popleft()
                    if not entry[1].done():  # its caller was cancelled
                        batch.append(entry)
                if batch:
                    await self._deliver(batch)
        finally:
            # Leaves the set here and not only in the done callback: an item submitted in between must find no worker.
            task = asyncio.current_task()
            if task is not None:
                self._workers.discard(task)

    async def _deliver(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._flush([item for item, _ in batch])
            if len(answers) != len(batch):
                raise InvariantViolated(f"{self._name}: {len(answers)} answers to {len(batch)} items")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except self._isolate as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for entry in batch:
                if not entry[1].done():
                    await self._deliver([entry])
        except Exception as error:  # noqa: BLE001  # not swallowed: every caller gets it
            _fail(batch, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)


def _fail(batch: Sequence[tuple[object, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
