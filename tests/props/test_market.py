"""Who may run what, and why not."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.market.eligibility import exclusion, summarize
from hypernode.market.model import Demand
from hypernode.market.offers import idle_offer
from hypernode.nodes.model import Ask, Capabilities
from props.market_strategies import asks, demands, machines


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
        case "labels":
            eased = msgspec.structs.replace(demand, labels=())
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
