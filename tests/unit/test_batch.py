"""The batcher: what it coalesces, what it isolates, and that no caller is ever left waiting."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.db.batch import Batcher
from hypernode.kernel.errors import InvariantViolated, Overloaded, Unavailable


class Recorder:
    """A flush that answers `item * 10`, remembers its batches and can be held at a gate."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()

    async def __call__(self, items: list[int]) -> list[int | Exception]:
        self.batches.append(items)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.gate.wait()
        await asyncio.sleep(0)
        self.running -= 1
        return [item * 10 for item in items]


async def settle(steps: int = 5) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


async def test_idle_batcher_flushes_at_once_and_gathers_while_busy():
    flush = Recorder(open_gate=False)
    batcher = Batcher(flush, max_items=4)
    first = asyncio.create_task(batcher.submit(0))
    await settle()
    assert flush.batches == [[0]]
    rest = [asyncio.create_task(batcher.submit(i)) for i in range(1, 7)]
    await settle()
    assert flush.batches == [[0]]
    assert batcher.depth == 6
    flush.gate.set()
    assert await asyncio.gather(first, *rest) == [i * 10 for i in range(7)]
    assert flush.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_linger_gathers_company_but_not_beyond_a_full_batch():
    flush = Recorder()
    batcher = Batcher(flush, max_items=3, max_delay_ms=60_000)
    one = asyncio.create_task(batcher.submit(1))
    await settle()
    assert flush.batches == []
    two = [asyncio.create_task(batcher.submit(i)) for i in (2, 3)]
    assert await asyncio.gather(one, *two) == [10, 20, 30]
    assert flush.batches == [[1, 2, 3]]


async def test_linger_ends_by_itself_and_by_close():
    batcher = Batcher(Recorder(), max_delay_ms=5)
    assert await batcher.submit(1) == 10
    slow = Batcher(Recorder(), max_delay_ms=60_000)
    waiting = asyncio.create_task(slow.submit(2))
    await settle()
    await slow.close()
    assert await waiting == 20


async def test_full_queue_refuses_and_keeps_what_it_has():
    flush = Recorder(open_gate=False)
    batcher = Batcher(flush, max_items=1, max_queue=2)
    taken = [asyncio.create_task(batcher.submit(0))]
    await settle()
    taken += [asyncio.create_task(batcher.submit(i)) for i in (1, 2)]
    await settle()
    with pytest.raises(Overloaded):
        await batcher.submit(3)
    with pytest.raises(Overloaded):
        await batcher.submit_many([3])
    flush.gate.set()
    assert await asyncio.gather(*taken) == [0, 10, 20]


async def test_cancelled_caller_costs_nobody_else():
    flush = Recorder(open_gate=False)
    batcher = Batcher(flush)
    in_flight = asyncio.create_task(batcher.submit(0))
    await settle()
    waiting = [asyncio.create_task(batcher.submit(i)) for i in (1, 2, 3)]
    await settle()
    in_flight.cancel()
    waiting[1].cancel()
    await settle()
    flush.gate.set()
    assert [await waiting[0], await waiting[2]] == [10, 30]
    assert flush.batches == [[0], [1, 3]]
    assert in_flight.cancelled()


async def test_an_answer_may_be_an_exception_for_its_caller_alone():
    async def flush(items: list[int]) -> list[int | Exception]:
        return [KeyError(item) if item % 2 else item for item in items]

    answers = await Batcher(flush).submit_many([1, 2, 3])
    assert [type(answer) for answer in answers] == [KeyError, int, KeyError]


async def test_isolated_failure_spares_the_neighbours():
    batches: list[list[int]] = []

    async def flush(items: list[int]) -> list[int | Exception]:
        batches.append(items)
        if 2 in items:
            raise ValueError("two")
        return list(items)

    answers = await Batcher(flush, isolate=(ValueError,)).submit_many([1, 2, 3])
    assert answers[0] == 1
    assert isinstance(answers[1], ValueError)
    assert answers[2] == 3
    assert batches == [[1, 2, 3], [1], [2], [3]]


async def test_other_failures_fail_the_whole_batch_and_the_batcher_goes_on():
    calls = 0

    async def flush(items: list[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("gone")
        return list(items)

    batcher = Batcher(flush, isolate=(ValueError,))
    assert all(isinstance(answer, ConnectionError) for answer in await batcher.submit_many([1, 2]))
    assert await batcher.submit(3) == 3


async def test_wrong_number_of_answers_is_an_invariant():
    async def flush(items: list[int]) -> list[int | Exception]:
        return []

    with pytest.raises(InvariantViolated):
        await Batcher(flush).submit(1)


async def test_close_drains_then_refuses():
    flush = Recorder(open_gate=False)
    batcher = Batcher(flush, max_items=2)
    tasks = [asyncio.create_task(batcher.submit(i)) for i in range(5)]
    await settle()
    closing = asyncio.create_task(batcher.close())
    await settle()
    assert not closing.done()
    with pytest.raises(Unavailable):
        await batcher.submit(9)
    flush.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]
    await batcher.close()


async def test_concurrency_bounds_the_flushes():
    flush = Recorder(open_gate=False)
    batcher = Batcher(flush, max_items=2, concurrency=3)
    tasks = [asyncio.create_task(batcher.submit(i)) for i in range(20)]
    await settle()
    assert flush.running == 3
    flush.gate.set()
    assert await asyncio.gather(*tasks) == [i * 10 for i in range(20)]
    assert flush.most_running == 3


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=40),
    max_items=st.integers(1, 7),
    concurrency=st.integers(1, 3),
)
def test_every_caller_gets_its_own_answer(arrivals, max_items, concurrency):
    """Whatever the timing, cancellations and bad items: own answer or own error, no batch too big, none twice."""
    written: list[int] = []

    async def scenario() -> None:
        async def flush(items: list[int]) -> list[int | Exception]:
            assert 0 < len(items) <= max_items
            await asyncio.sleep(0)
            if any(arrivals[item][1] for item in items):
                raise ValueError(items)
            written.extend(items)
            return [item * 10 for item in items]

        batcher = Batcher(flush, max_items=max_items, concurrency=concurrency, isolate=(ValueError,))
        tasks = []
        for number, (pause, _, cancel) in enumerate(arrivals):
            await settle(pause)
            tasks.append(asyncio.create_task(batcher.submit(number)))
            if cancel:
                await settle(1)
                tasks[-1].cancel()
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        await batcher.close()
        for number, ((_, bad, cancel), answer) in enumerate(zip(arrivals, answers, strict=True)):
            if cancel and isinstance(answer, asyncio.CancelledError):
                continue
            assert isinstance(answer, ValueError) if bad else answer == number * 10
            assert bad or number in written
        assert len(written) == len(set(written))

    asyncio.run(scenario())
