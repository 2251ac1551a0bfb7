"""Matching over random work and nodes: what is given out is right, nobody starves, and projects are treated alike."""

import itertools
import math
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.kernel import limits
from hypernode.ledger.model import worst_price
from hypernode.market.eligibility import exclusion
from hypernode.market.fairness import LONG_S, PRIORITY_S, SHORT, Backlog, Shares, rank_of
from hypernode.market.matching import PATIENCE_S, Given, Matcher
from hypernode.market.model import Demand, Ready
from hypernode.market.offers import Holding, Offer, idle_offer
from hypernode.market.pool import Pool
from hypernode.market.score import WEIGHTS
from hypernode.market.yielding import WANTING, YIELD_S, Yielding
from hypernode.nodes.model import Ask, Capabilities, GpuInfo, SandboxOffer
from props.market_strategies import asks, demands, machines

PROJECTS = [UUID(int=number) for number in range(1, 5)]
SANDBOX = SandboxOffer(name="s", isolation=2, runtimes=("python",))


@st.composite
def work(draw: st.DrawFn) -> list[Ready]:
    entries = []
    for number, demand in enumerate(draw(st.lists(demands, max_size=6))):
        first = draw(st.integers(0, 3))
        beyond = first + draw(st.integers(1, 6))
        project, rank = draw(st.sampled_from(PROJECTS)), float(draw(st.integers(0, 3)))
        entries.append(Ready(number, UUID(int=number), first, beyond, demand, demand.shape, project, rank))
    return entries


nodes = st.lists(st.tuples(machines, asks), max_size=4).map(
    lambda found: [(f"n{number}", has, ask) for number, (has, ask) in enumerate(found)]
)


def pool_of(found: list[tuple[str, Capabilities, Ask]], seed: int = 0) -> Pool:
    pool = Pool(seed)
    for name, has, ask in found:
        pool.put(idle_offer(name, has, ask))
    return pool


def can_hold(has: Capabilities, held: list[Demand]) -> bool:
    """Whether a machine can run all of these at once, whole GPUs each with the memory asked for."""
    fits = (
        len(held) <= has.slots
        and sum(d.cpu_milli for d in held) <= has.cpu_milli
        and sum(d.memory_bytes for d in held) <= has.memory_bytes
        and sum(d.disk_bytes for d in held) <= has.disk_bytes
    )
    wanted = sorted((d.vram_bytes for d in held for _ in range(d.gpus)), reverse=True)
    there = sorted((gpu.vram_bytes for gpu in has.gpus), reverse=True)
    return fits and len(wanted) <= len(there) and all(a <= b for a, b in zip(wanted, there, strict=False))


def plain(cores: int, timeout_s: int = 10, gpus: int = 0) -> Demand:
    return Demand("python", 0, cores * 1000, 16, 0, gpus, 0, timeout_s, limits.MICRO_HYPER)


def machine(cores: int, gpus: int = 0) -> Capabilities:
    return Capabilities(
        cpu_milli=cores * 1000,
        memory_bytes=10_000,
        disk_bytes=10,
        slots=cores,
        gpus=tuple(GpuInfo("x", 8) for _ in range(gpus)),
        sandboxes=(SANDBOX,),
    )


def names(given_out: list[Given]) -> list[tuple[int, int, str]]:
    return [(one.assignment.ready.queue_id, one.assignment.task, one.assignment.node) for one in given_out]


def amounts(offer: Offer) -> tuple[int, ...]:
    free = (offer.free_cpu_milli, offer.free_memory_bytes, offer.free_disk_bytes, offer.free_gpus, offer.free_slots)
    return (*free, len(offer.holdings))


@given(work(), nodes)
@settings(max_examples=300)
def test_what_is_given_out_is_right(ready: list[Ready], found: list[tuple[str, Capabilities, Ask]]) -> None:
    pool, blocked = pool_of(found), set[int]()
    before = {offer.node: amounts(offer) for offer in pool}
    given_out = Matcher(pool).decide(Backlog(ready), 0.0, blocked)
    for offer in pool:
        mine = [one.assignment.ready.demand for one in given_out if one.offer is offer]
        assert can_hold(offer.capabilities, mine), "over-committed"
        for demand in mine:
            assert exclusion(demand, offer.capabilities, offer.ask) is None
            assert worst_price(offer.ask, demand.timeout_s) <= demand.remaining_cap
    taken = {(queue_id, task) for queue_id, task, _ in names(given_out)}
    assert len(taken) == len(given_out)
    for entry in ready:
        tasks = [task for queue_id, task, _ in names(given_out) if queue_id == entry.queue_id]
        assert tasks == list(range(entry.first, entry.first + len(tasks)))  # from the front, in order, without a gap
        if entry.first + len(tasks) < entry.beyond:
            assert entry.shape in blocked
            # Nothing is given back while matching, so what fits nowhere now fitted nowhere when it was looked at.
            assert not any(
                exclusion(entry.demand, offer.capabilities, offer.ask) is None and offer.has_room(entry.demand)
                for offer in pool
            )
    assert blocked <= {entry.shape for entry in ready}
    assert names(Matcher(again := pool_of(found)).decide(Backlog(ready), 0.0, set())) == names(given_out)
    assert {offer.node: amounts(offer) for offer in again} == {offer.node: amounts(offer) for offer in pool}
    for one in reversed(given_out):
        pool.give_back(one.offer, one.holding)
    assert {offer.node: amounts(offer) for offer in pool} == before
    assert all(pool.shares.dominant(project) == 0 for project in PROJECTS)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("best"), st.integers(0, 3)),
        st.tuples(st.just("best"), st.integers(0, 3)),
        st.tuples(st.just("best"), st.integers(0, 3)),
        st.tuples(st.just("end"), st.integers(0, 50)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("come"), st.integers(0, 5)),
        st.tuples(st.just("close"), st.integers(0, 5)),
        st.tuples(st.just("open"), st.integers(0, 5)),
    ),
    min_size=20,
    max_size=60,
)


kinds_of_demand = st.one_of(
    demands,
    st.builds(plain, st.integers(1, 4), st.sampled_from([1, 60]), st.integers(0, 1)),
    st.builds(lambda cap: msgspec.structs.replace(plain(1), remaining_cap=cap), st.sampled_from([5, 10, 15, 1000])),
)
kinds_of_machine = st.one_of(machines, st.builds(machine, st.integers(1, 6), st.integers(0, 2)))


@given(
    st.lists(kinds_of_demand, min_size=4, max_size=4),
    st.lists(st.tuples(kinds_of_machine, asks), min_size=6, max_size=6),
    steps,
)
@settings(max_examples=300)
def test_the_index_finds_what_looking_at_all_nodes_finds(
    kinds: list[Demand], found: list[tuple[Capabilities, Ask]], wanted: list[tuple[str, int]]
) -> None:
    pool = Pool()
    held: list[tuple[Offer, Holding]] = []
    for number, (has, ask) in enumerate(found):
        pool.put(idle_offer(f"n{number}", has, ask))
    for step, number in wanted:
        offer = pool.get(f"n{number}")
        match step:
            case "best":
                demand = kinds[number]
                chosen = pool.best(Ready(0, UUID(int=0), 0, 1, demand, demand.shape), 0.0)
                least = by_hand(pool, demand)
                assert (chosen and by_definition(demand, chosen)) == least
                if chosen is not None:
                    holding = Holding(demand, PROJECTS[0], 1.0)
                    pool.take(chosen, holding)
                    held.append((chosen, holding))
            case "end" if held:
                pool.give_back(*held.pop(number % len(held)))
            case "leave":
                pool.remove(f"n{number}")
            case "come":
                pool.put(idle_offer(f"n{number}", *found[number]))
                held = [one for one in held if one[0] in pool]
            case "close" | "open" if offer is not None:
                pool.open(offer, is_open=step == "open")


def by_hand(pool: Pool, demand: Demand) -> float | None:
    """The least score of all nodes."""
    able = [
        offer
        for offer in pool
        if offer.open and offer.has_room(demand) and exclusion(demand, offer.capabilities, offer.ask) is None
    ]
    return min((by_definition(demand, offer) for offer in able), default=None)


def by_definition(demand: Demand, offer: Offer) -> float:
    has, shares = offer.capabilities, []
    shares.append((offer.free_cpu_milli - demand.cpu_milli) / max(1, has.cpu_milli))
    shares.append((offer.free_memory_bytes - demand.memory_bytes) / max(1, has.memory_bytes))
    if has.gpus:
        shares += 2 * [(offer.free_gpus - demand.gpus) / len(has.gpus)]
    packing = WEIGHTS.packing * sum(shares) / len(shares)
    return round(WEIGHTS.price * math.log2(1 + worst_price(offer.ask, demand.timeout_s)) + packing, 9)


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.sampled_from(PROJECTS), st.integers(1, 4), st.integers(0, 1), st.integers(1, 8)), max_size=10
    ),
    st.lists(st.tuples(st.sampled_from(PROJECTS), st.integers(1, 4)), max_size=5),
)
@settings(max_examples=300)
def test_whoever_holds_least_is_next(
    sizes: list[int], queued: list[tuple[UUID, int, int, int]], held: list[tuple[UUID, int]]
) -> None:
    """Whenever a project is given a task, no project with a smaller dominant share had work that fitted anywhere. So no
    two projects that both have such work are ever further apart than one task's dominant share."""
    machines_ = [(f"n{number}", machine(cores, gpus=number % 2), Ask(1)) for number, cores in enumerate(sizes)]
    pool, mirror = pool_of(machines_), pool_of(machines_)
    for project, cores in held:
        for each in (pool, mirror):
            ready = Ready(0, UUID(int=0), 0, 1, plain(cores), plain(cores).shape)
            if (there := each.best(ready, 0.0)) is not None:
                each.take(there, Holding(plain(cores), project, 1.0))
    entries = [
        Ready(number, UUID(int=number), 0, size, plain(cores, gpus=gpus), plain(cores, gpus=gpus).shape, project, 0.0)
        for number, (project, cores, gpus, size) in enumerate(queued)
    ]
    left = {entry.queue_id: entry.beyond for entry in entries}
    for one in Matcher(pool).decide(Backlog(entries), 0.0, set()):
        ready = one.assignment.ready
        for other in entries:
            if left[other.queue_id] and any(
                exclusion(other.demand, offer.capabilities, offer.ask) is None and offer.has_room(other.demand)
                for offer in mirror
            ):
                assert mirror.shares.dominant(ready.project) <= mirror.shares.dominant(other.project)
                apart = mirror.shares.dominant(ready.project) + mirror.shares.size(ready.demand)
                assert apart - mirror.shares.dominant(other.project) <= mirror.shares.size(ready.demand) + 1e-12
        left[ready.queue_id] -= 1
        offer = mirror.get(one.assignment.node)
        assert offer is not None
        mirror.take(offer, Holding(ready.demand, ready.project, 1.0))


@given(
    st.lists(st.integers(2, 8), min_size=1, max_size=4),
    st.integers(0, 2),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_nobody_starves(sizes: list[int], before: int, data: st.DataObject) -> None:
    """A task as large as the largest node is leased in bounded time, though others submit endlessly what would fill
    every gap: the bound is a wait, giving way and a timeout for each project, and for each task before it in its own
    line."""
    timeout_s, step_s = 20, 2.0
    pool = pool_of([(f"n{number}", machine(cores), Ask(1)) for number, cores in enumerate(sizes)])
    matcher, backlog, numbers = Matcher(pool), Backlog(), itertools.count(1)
    ends: list[tuple[float, Given]] = []

    def add(project: UUID, cores: int, at: float) -> int:
        demand = plain(cores, timeout_s)
        number = next(numbers)
        backlog.add(Ready(number, UUID(int=number), 0, 1, demand, demand.shape, project, rank_of(at, 0, timeout_s)))
        return number

    for _ in range(sum(sizes)):  # everything is full when it comes
        add(PROJECTS[1], 1, -1.0)
    ends += [(one.holding.until, one) for one in matcher.decide(backlog, 0.0, set())]
    for _ in range(before):
        add(PROJECTS[0], data.draw(st.integers(1, max(sizes))), 0.0)
    target = add(PROJECTS[0], max(sizes), 0.0)
    bound_s = (before + 1) * len(PROJECTS) * (PATIENCE_S + YIELD_S + timeout_s + 3 * step_s)
    now = 0.0
    while now <= bound_s:
        now += step_s
        for one in [one for end, one in ends if end <= now]:
            pool.give_back(one.offer, one.holding)
        ends = [(end, one) for end, one in ends if end > now]
        for project in PROJECTS:
            while sum(waiting.ready.project == project for waiting in backlog.by_id.values()) < 6:
                add(project, data.draw(st.integers(1, 2)) if project != PROJECTS[3] else max(sizes), now)
        for one in matcher.decide(backlog, now, set()):
            if one.assignment.ready.queue_id == target:
                return
            ends.append((now + data.draw(st.sampled_from([2, 10, timeout_s])), one))
    raise AssertionError(f"not leased within {bound_s} s")


def ready(number: int, demand: Demand, project: UUID, tasks: int = 1) -> Ready:
    return Ready(number, UUID(int=number), 0, tasks, demand, demand.shape, project, float(number))


def given_back(pool: Pool, one: Given) -> None:
    pool.give_back(one.offer, one.holding)


@given(work(), work(), nodes, st.lists(st.booleans(), min_size=72, max_size=72))
@settings(max_examples=300)
def test_no_room_is_left_for_those_who_are_given_way_to(
    before: list[Ready], after: list[Ready], found: list[tuple[str, Capabilities, Ask]], ended: list[bool]
) -> None:
    """Whoever gives way, nothing that waits would fit anywhere when everyone has been looked at."""
    pool = pool_of(found)
    matcher = Matcher(pool)
    backlog = Backlog(before)
    for one, has_ended in zip(matcher.decide(backlog, 0.0, set()), ended, strict=False):
        if has_ended:
            given_back(pool, one)
    for entry in after:
        number = 100 + entry.queue_id
        backlog.add(msgspec.structs.replace(entry, queue_id=number, job_id=UUID(int=number)))
    blocked = set[int]()
    matcher.decide(backlog, 1.0, blocked)
    for waiting in backlog.by_id.values():
        assert waiting.ready.shape in blocked
        assert not any(offer.has_room(waiting.ready.demand) for offer in pool.eligible(waiting.ready))


@given(st.integers(2, 8), st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_nobody_gives_way_for_long(cores: int, large: int, data: st.DataObject) -> None:
    """A task of the project that holds least, which fits whenever a larger one ends, is leased within `YIELD_S` of the
    first look that found room for it, however many larger ones wait, but for a room that is kept for each other."""
    small = data.draw(st.integers(1, cores - 1))
    has = machine(cores)
    pool = pool_of([("n", has, Ask(1)), ("other", machine(small), Ask(1))])
    [_, other] = pool
    pool.open(other, is_open=False)  # where the small one has more to choose from, and no room
    matcher, numbers = Matcher(pool), itertools.count(2)
    whole, target = plain(cores), ready(1, plain(small, 10), PROJECTS[0])
    backlog = Backlog([ready(next(numbers), whole, project, 100) for project in PROJECTS[1 : large + 1]])
    running = matcher.decide(backlog, 0.0, set())
    backlog.add(target)
    step_s, now, found_s = data.draw(st.sampled_from([1.0, 7.0, 20.0])), 0.0, None
    while True:
        now += step_s
        for one in running:
            given_back(pool, one)
        found_s = now if found_s is None else found_s
        running = matcher.decide(backlog, now, set())
        if any(one.assignment.ready is target for one in running):
            return
        assert now - found_s < YIELD_S + (large + 1) * step_s


def test_no_work_gives_way_for_ever_since_its_project_finds_room_for_other_work() -> None:
    pool = pool_of([("n", machine(4), Ask(5)), ("tiny", machine(1), Ask(1)), ("shut", machine(3), Ask(1))])
    shut = pool.get("shut")
    assert shut is not None
    pool.open(shut, is_open=False)  # where the target has more to choose from, and no room
    pool.take(shut, Holding(plain(3), PROJECTS[1], 1.0))  # the target's project holds least and is always first
    matcher, target = Matcher(pool), ready(1, plain(2), PROJECTS[0])
    backlog = Backlog([ready(2, plain(4), PROJECTS[1], 1000)])
    running = matcher.decide(backlog, 0.0, set())
    for entry in (target, ready(3, plain(1), PROJECTS[0], 1000)):
        backlog.add(entry)
    now, step_s = 0.0, 20.0
    while True:
        now += step_s
        for one in running:
            given_back(pool, one)
        running = matcher.decide(backlog, now, set())
        if any(one.assignment.ready is target for one in running):
            break
        assert names(running) == [(3, int(now / step_s) - 1, "tiny"), (2, int(now / step_s), "n")]
    assert now == step_s + YIELD_S


def test_time_without_room_is_not_given_way() -> None:
    """A task that gave way once, and finds room again long after, gives way again; yet not for longer in all."""
    pool = pool_of([("n", machine(4), Ask(1)), ("shut", machine(3), Ask(1))])
    [offer, shut] = pool
    pool.open(shut, is_open=False)  # where the small one has more to choose from, and no room
    yielding, small, large = Yielding(pool), ready(1, plain(1), PROJECTS[0]), ready(2, plain(4), PROJECTS[1])
    backlog, step_s = Backlog([small, large]), YIELD_S / 2

    def gives_way(now: float, *, room: bool = True) -> bool:
        yielding.look(backlog, now)
        found = room and yielding.should(small, offer, now)
        yielding.found_no_room([large])
        return found

    yielding.found_no_room([large])
    assert [gives_way(step * step_s) for step in range(2)] == [True, True]
    assert not gives_way(3 * YIELD_S, room=False)
    assert gives_way(4 * YIELD_S)
    assert not gives_way(4 * YIELD_S + step_s)
    assert not gives_way(9 * YIELD_S)  # nor from then on, until it finds room that nobody waits for


turns = st.tuples(st.floats(0, 1e9), st.integers(-9, 9), st.integers(1, limits.TIMEOUT_S))


@given(turns, turns)
def test_nobody_is_overtaken_by_what_comes_much_later(
    one: tuple[float, int, int], other: tuple[float, int, int]
) -> None:
    """Not by any priority or timeout: the turn of what was submitted eight hours before comes first."""
    assert SHORT * LONG_S + 2 * limits.PRIORITY * PRIORITY_S < 8 * 3600
    if other[0] > one[0] + 8 * 3600:
        assert rank_of(*one) < rank_of(*other)


def test_a_task_that_is_tried_again_comes_before_the_rest_of_its_array() -> None:
    pool = pool_of([("n", machine(1), Ask(1))])
    demand = plain(1)
    array = Ready(1, UUID(int=1), 5, 100, demand, demand.shape, PROJECTS[0], rank_of(1.76e9, 0, 10))
    again = Ready(2, UUID(int=1), 3, 4, demand, demand.shape, PROJECTS[0], rank_of(1.76e9, 0, 10, retried=True))
    assert names(Matcher(pool).decide(Backlog([array, again]), 0.0, set())) == [(2, 3, "n")]


def test_one_large_gpu_is_not_given_twice() -> None:
    has = msgspec.structs.replace(machine(4), gpus=(GpuInfo("large", 80), GpuInfo("small", 8)))
    large = msgspec.structs.replace(plain(1, gpus=1), vram_bytes=80)
    small = msgspec.structs.replace(large, vram_bytes=8)
    blocked = set[int]()
    given_out = Matcher(pool_of([("n", has, Ask(1))])).decide(
        Backlog([Ready(1, UUID(int=1), 0, 2, large, large.shape), Ready(2, UUID(int=2), 0, 2, small, small.shape)]),
        0.0,
        blocked,
    )
    assert names(given_out) == [(1, 0, "n"), (2, 0, "n")]
    assert blocked == {large.shape, small.shape}


def test_room_is_kept_for_a_large_task_and_filled_meanwhile() -> None:
    pool = pool_of([("n", machine(8), Ask(1))])
    matcher, long, large = Matcher(pool), plain(1, 100), plain(8, 50)

    def decide(now: float, *entries: Ready) -> list[int]:
        return [queue_id for queue_id, _, _ in names(matcher.decide(Backlog(entries), now, set()))]

    def ready(number: int, demand: Demand, project: UUID) -> Ready:
        return Ready(number, UUID(int=number), 0, 1, demand, demand.shape, project, float(number))

    first = matcher.decide(Backlog([ready(1, long, PROJECTS[1])]), 0.0, set())
    waiting = ready(2, large, PROJECTS[0])
    assert decide(1.0, waiting) == []
    assert decide(1.0 + PATIENCE_S, waiting) == []
    assert [kept.start for _, kept in matcher.reserved.values()] == [100.0]
    # 31 s have passed: what ends within 69 s may run meanwhile, what could take longer would be in the way.
    assert decide(1.0 + PATIENCE_S, waiting, ready(3, plain(1, 70), PROJECTS[2])) == []
    assert decide(1.0 + PATIENCE_S, waiting, ready(4, plain(1, 69), PROJECTS[2])) == [4]
    [short] = [holding for offer in pool for holding in offer.holdings if holding is not first[0].holding]
    [offer] = pool
    pool.give_back(offer, short)
    pool.give_back(offer, first[0].holding)
    assert decide(99.0, waiting, ready(5, plain(1), PROJECTS[2])) == [2]
    assert not matcher.reserved


def test_what_could_run_on_more_nodes_leaves_room_to_what_could_not() -> None:
    """By size, and by price; and takes it where the others cannot use it."""
    poor = msgspec.structs.replace(plain(4), remaining_cap=10)
    for narrow in (plain(4), poor):
        pool = pool_of([("cheap", machine(4), Ask(1)), ("dear", machine(4), Ask(5)), ("small", machine(2), Ask(1))])
        cheap, dear, little = pool
        matcher = Matcher(pool)
        pool.take(little, Holding(plain(2), PROJECTS[0], 1.0))  # who waits holds more than who comes
        pool.open(dear, is_open=False)
        held = Holding(plain(4), PROJECTS[2], 1.0)
        pool.take(cheap, held)
        backlog = Backlog([ready(1, narrow, PROJECTS[0])])
        assert matcher.decide(backlog, 0.0, set()) == []
        pool.give_back(cheap, held)
        backlog.add(ready(2, plain(2), PROJECTS[1]))
        pool.open(dear, is_open=narrow is poor)
        assert names(matcher.decide(backlog, 1.0, set())) == [(1, 0, "cheap"), *[(2, 0, "dear")] * (narrow is poor)]


def test_small_work_leaves_room_to_large_work_behind_it() -> None:
    """Also to such that isn't the first of its line."""
    pool = pool_of([("large", machine(4), Ask(1)), ("small", machine(1), Ask(1))])
    matcher, held = Matcher(pool), [(offer, Holding(plain(offer.free_slots), PROJECTS[1], 1.0)) for offer in pool]
    for offer, holding in held:
        pool.take(offer, holding)
    backlog = Backlog([ready(1, plain(1), PROJECTS[0]), ready(2, plain(4), PROJECTS[0])])
    assert matcher.decide(backlog, 0.0, set()) == []
    pool.give_back(*held[0])
    assert names(matcher.decide(backlog, 1.0, set())) == [(2, 0, "large")]
    pool.give_back(*held[1])
    assert names(matcher.decide(backlog, 2.0, set())) == [(1, 0, "small")]


def test_one_project_is_not_given_way_to_for_many_kinds_of_work() -> None:
    """At most for `WANTING_OF_PROJECT`, so that others are, too."""
    sizes = range(10, 10 + WANTING)
    pool = pool_of([(f"n{cores}", machine(cores), Ask(1)) for cores in sizes] + [("n", machine(9), Ask(1))])
    yielding = Yielding(pool)
    [*_, offer] = pool
    many, other = [ready(cores, plain(cores), PROJECTS[0]) for cores in sizes], ready(99, plain(9), PROJECTS[1])
    small = ready(1, plain(1), PROJECTS[2])
    pool.put(idle_offer("little", machine(1), Ask(1)))  # where the small one has more to choose from
    yielding.found_no_room([*many, other])
    assert yielding.should(small, offer, 0.0)
    yielding.found_no_room(many)
    assert not yielding.should(small, offer, 0.0)


def test_room_is_kept_for_nobody_who_has_gone() -> None:
    pool = pool_of([("n", machine(2), Ask(1))])
    matcher, small, large = Matcher(pool), plain(1, 1000), plain(2)
    matcher.decide(Backlog([Ready(1, UUID(int=1), 0, 1, small, small.shape, PROJECTS[1])]), 0.0, set())
    waiting = Ready(2, UUID(int=2), 0, 1, large, large.shape, PROJECTS[0])
    for now in (0.0, PATIENCE_S):
        matcher.decide(Backlog([waiting]), now, set())
    assert list(matcher.reserved) == [2]
    other = Ready(3, UUID(int=3), 0, 1, small, small.shape, PROJECTS[1])
    assert [one.assignment.ready.queue_id for one in matcher.decide(Backlog([other]), PATIENCE_S, set())] == [3]
    assert not matcher.reserved


def test_shares_are_those_of_the_scarcest() -> None:
    shares = Shares()
    shares.grow(machine(10, gpus=2))
    shares.hold(PROJECTS[0], plain(1, gpus=1))
    assert shares.dominant(PROJECTS[0]) == 0.5
    shares.hold(PROJECTS[0], plain(1, gpus=1), -1)
    assert shares.dominant(PROJECTS[0]) == 0.0
