"""Matching over random work and nodes."""

import copy
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.kernel import limits
from hypernode.ledger.model import worst_price
from hypernode.market.model import Demand, Offer, Ready, exclusion, idle_offer, match, summarize
from hypernode.nodes.model import Ask, Capabilities, GpuInfo, SandboxOffer

demands = st.builds(
    Demand,
    runtime=st.sampled_from(["python", "wasm", "container"]),
    isolation=st.integers(0, 3),
    cpu_milli=st.sampled_from([10, 500, 1000, 3000]),
    memory_bytes=st.sampled_from([16, 100, 1000]),
    disk_bytes=st.sampled_from([0, 10, 1000]),
    gpus=st.integers(0, 2),
    vram_bytes=st.sampled_from([0, 8, 80]),
    timeout_s=st.sampled_from([1, 60]),
    remaining_cap=st.sampled_from([0, 100, 6000, limits.MICRO_HYPER]),
    egress=st.booleans(),
    ports=st.sampled_from([False, False, False, True]),
).map(lambda demand: demand if demand.gpus else msgspec.structs.replace(demand, vram_bytes=0))
machines = st.builds(
    Capabilities,
    cpu_milli=st.sampled_from([0, 1000, 4000]),
    memory_bytes=st.sampled_from([16, 1000, 2000]),
    disk_bytes=st.sampled_from([0, 1000]),
    gpus=st.lists(st.builds(GpuInfo, st.just("x"), st.sampled_from([0, 8, 80])), max_size=3).map(tuple),
    slots=st.integers(1, 4),
    sandboxes=st.lists(
        st.builds(
            SandboxOffer,
            name=st.just("s"),
            isolation=st.integers(0, 3),
            runtimes=st.sampled_from([("python",), ("python", "wasm"), ("python", "container"), ("container",), ()]),
            egress=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
)
asks = st.builds(Ask, st.sampled_from([0, 1, 100]), st.sampled_from([0, 5]))


@st.composite
def work(draw: st.DrawFn) -> list[Ready]:
    entries = []
    for number, demand in enumerate(draw(st.lists(demands, max_size=6))):
        first = draw(st.integers(0, 3))
        beyond = first + draw(st.integers(1, 6))
        entries.append(Ready(number, UUID(int=number), first, beyond, demand, demand.shape))
    return entries


nodes = st.lists(st.tuples(machines, asks), max_size=4).map(
    lambda found: [idle_offer(f"n{number}", has, ask) for number, (has, ask) in enumerate(found)]
)


def can_hold(has: Capabilities, demands: list[Demand]) -> bool:
    """Whether a machine can run all of these at once, whole GPUs each with the memory asked for."""
    fits = (
        len(demands) <= has.slots
        and sum(d.cpu_milli for d in demands) <= has.cpu_milli
        and sum(d.memory_bytes for d in demands) <= has.memory_bytes
        and sum(d.disk_bytes for d in demands) <= has.disk_bytes
    )
    wanted = sorted((d.vram_bytes for d in demands for _ in range(d.gpus)), reverse=True)
    there = sorted((gpu.vram_bytes for gpu in has.gpus), reverse=True)
    return fits and len(wanted) <= len(there) and all(a <= b for a, b in zip(wanted, there, strict=False))


@given(work(), nodes)
@settings(max_examples=300)
def test_matching(ready: list[Ready], offers: list[Offer]) -> None:
    before = copy.deepcopy(offers)
    assignments, unfit = match(ready, offers)
    by_node = {offer.node: offer for offer in offers}
    for offer in offers:
        mine = [a.ready.demand for a in assignments if a.node == offer.node]
        assert can_hold(offer.capabilities, mine), "over-committed"
        for demand in mine:
            assert exclusion(demand, offer.capabilities, offer.ask) is None
            assert worst_price(offer.ask, demand.timeout_s) <= demand.remaining_cap
    taken = {(a.ready.queue_id, a.task) for a in assignments}
    assert len(taken) == len(assignments)
    for entry in ready:
        mine_ = sorted(task for queue_id, task in taken if queue_id == entry.queue_id)
        assert mine_ == list(range(entry.first, entry.first + len(mine_)))  # from the front, without a gap
        if entry.first + len(mine_) < entry.beyond:
            assert entry.shape in unfit
            # Nothing is given back while matching, so what fits nowhere now fitted nowhere when it was looked at.
            assert not any(
                exclusion(entry.demand, offer.capabilities, offer.ask) is None and offer.has_room(entry.demand)
                for offer in offers
            )
    assert unfit <= {entry.shape for entry in ready}
    again = match(ready, before)
    assert again == (assignments, unfit) and before == offers
    for assignment in reversed(assignments):
        by_node[assignment.node].give_back(assignment.ready.demand)
    assert offers == [idle_offer(offer.node, offer.capabilities, offer.ask) for offer in offers]


@given(demands, st.lists(st.tuples(machines, asks), max_size=6))
def test_reasons_are_counted(demand: Demand, found: list[tuple[Capabilities, Ask]]) -> None:
    reasons = [why for has, ask in found if (why := exclusion(demand, has, ask)) is not None]
    summary = summarize(reasons)
    assert sum(entry.nodes for entry in summary) == len(reasons)
    assert [entry.nodes for entry in summary] == sorted((entry.nodes for entry in summary), reverse=True)


@given(demands, machines, asks)
@settings(max_examples=300)
def test_one_sandbox_must_have_it_all(demand: Demand, has: Capabilities, ask: Ask) -> None:
    fits = [
        sandbox
        for sandbox in has.sandboxes
        if demand.runtime in sandbox.runtimes
        and sandbox.isolation >= demand.isolation
        and (sandbox.egress or not demand.egress)
        and not demand.ports
    ]
    why = exclusion(demand, has, ask)
    assert (why is not None and why.code in ("runtime", "ports", "egress", "isolation")) == (not fits)


@given(demands, machines, asks)
@settings(max_examples=300)
def test_following_a_remedy_gets_past_its_reason(demand: Demand, has: Capabilities, ask: Ask) -> None:
    why = exclusion(demand, has, ask)
    match why and why.code:
        case "isolation":
            assert why is not None
            level = int(why.remedy.removeprefix("lower isolation to ").split()[0])
            eased = msgspec.structs.replace(demand, isolation=level)
            assert level < demand.isolation and str(level) in why.reason
        case "egress":
            eased = msgspec.structs.replace(demand, egress=False)
        case "ports":
            eased = msgspec.structs.replace(demand, ports=False)
        case "runtime" if has.runtimes:
            assert why is not None
            offered = why.remedy.removeprefix("ask for one of: ").split(", ")
            eased = msgspec.structs.replace(demand, runtime=offered[0])
        case _:
            return
    after = exclusion(eased, has, ask)
    assert after is None or why is None or after.code != why.code


@given(demands, demands)
def test_equal_demands_share_a_shape(one: Demand, other: Demand) -> None:
    assert (one.shape == other.shape) == (one == other)
    assert -(2**63) <= one.shape < 2**63


@given(demands, machines, asks)
def test_an_idle_node_that_is_not_excluded_has_room(demand: Demand, has: Capabilities, ask: Ask) -> None:
    if exclusion(demand, has, ask) is None:
        assert idle_offer("n", has, ask).has_room(demand)


def test_one_large_gpu_is_not_given_twice() -> None:
    has = Capabilities(
        cpu_milli=4000,
        memory_bytes=1000,
        disk_bytes=0,
        slots=4,
        gpus=(GpuInfo("large", 80), GpuInfo("small", 8)),
        sandboxes=(SandboxOffer(name="s", isolation=2, runtimes=("python",)),),
    )
    large = Demand("python", 0, 10, 16, 0, 1, 80, 1, 1000)
    small = msgspec.structs.replace(large, vram_bytes=8)
    offer = idle_offer("n", has, Ask(1))
    assignments, unfit = match(
        [Ready(1, UUID(int=1), 0, 2, large, large.shape), Ready(2, UUID(int=2), 0, 2, small, small.shape)], [offer]
    )
    assert [(a.ready.queue_id, a.task) for a in assignments] == [(1, 0), (2, 0)]
    assert unfit == {large.shape, small.shape}
