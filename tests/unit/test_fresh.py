"""What has just come in is handed over only while it is certain that nothing else waits."""

from __future__ import annotations

from uuid import UUID

from hypernode.jobs.service.fresh import Fresh
from hypernode.kernel import limits
from hypernode.market.model import Demand, Ready

DEMAND = Demand("python", 0, 100, 1, 0, 0, 0, 60, 1000)


def ready(number: int) -> Ready:
    return Ready(number, UUID(int=number), 0, 1, DEMAND, DEMAND.shape)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def looked(clock: Clock | None = None, *, empty: bool = True) -> Fresh:
    fresh = Fresh(clock or Clock())
    fresh.begin_look()
    fresh.end_look(empty=empty)
    return fresh


def test_nothing_is_known_before_the_first_look() -> None:
    fresh = Fresh(Clock())
    fresh.put([ready(1)])
    assert fresh.take() == []


def test_what_came_in_since_nothing_waited_is_all_there_is_but_once() -> None:
    fresh = looked()
    assert fresh.take() == []
    fresh.put([ready(1)])
    fresh.put([])
    fresh.put([ready(2)])
    assert fresh.take() == [ready(1), ready(2)]
    fresh.put([ready(3)])
    assert fresh.take() == []  # the others may have found no room


def test_what_waits_besides_asks_for_a_look() -> None:
    fresh = looked(empty=False)
    fresh.put([ready(1)])
    assert fresh.take() == []


def test_what_comes_in_during_a_look_is_kept_and_what_came_before_is_seen_by_it() -> None:
    fresh = looked()
    fresh.put([ready(1)])
    fresh.begin_look()
    fresh.put([ready(2)])
    assert fresh.take() == []
    fresh.end_look(empty=True)
    assert fresh.take() == [ready(2)]


def test_a_look_is_good_for_a_second_from_its_beginning() -> None:
    clock = Clock()
    fresh = Fresh(clock)
    fresh.begin_look()
    clock.at += limits.POLL_S / 2
    fresh.end_look(empty=True)
    clock.at += limits.POLL_S / 2
    fresh.put([ready(1)])
    assert fresh.take() == []


def test_what_is_not_known_or_too_much_asks_for_a_look() -> None:
    unknown, many = looked(), looked()
    unknown.put([ready(1)])
    unknown.put(None)
    unknown.put([ready(2)])
    many.put([ready(number) for number in range(limits.MATCH_PAGE)])
    many.put([ready(limits.MATCH_PAGE)])
    for fresh in (unknown, many):
        assert fresh.take() == []
        fresh.begin_look()
        fresh.end_look(empty=True)
        fresh.put([ready(3)])
        assert fresh.take() == [ready(3)]
