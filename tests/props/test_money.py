"""Prices and their splits at every size money can have, and amounts and quantities as people write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.kernel import limits, money, units
from hypernode.kernel.errors import InvariantViolated
from hypernode.ledger.model import SHARES, billed_ms, price, split, worst_price
from hypernode.nodes.model import Ask

edges = st.sampled_from([0, 1, 9_999, 10_000, 10_001, 2**53 - 1, 2**63 - 1, 2**64 - 1])
amounts = st.integers(0, 2**64 - 1) | edges
rates = st.integers(0, limits.MICRO_HYPER) | st.sampled_from([0, 1, limits.MICRO_HYPER])
asks = st.builds(Ask, rates, rates)
millis = st.integers(0, 2**53 - 1)


@given(amounts)
def test_a_split_is_exact_and_leaves_the_operator_four_fifths(amount: int) -> None:
    parts = split(amount)
    fees = (parts.treasury, parts.incentive, parts.stakers)
    assert parts.price == amount == parts.operator + sum(fees)
    assert parts.operator * 10_000 >= amount * 8_000
    for fee, bps in zip(fees, (SHARES.treasury_bps, SHARES.incentive_bps, SHARES.stakers_bps), strict=True):
        assert 0 <= amount * bps - fee * 10_000 < 10_000  # floored, and by less than one µHYPER


@given(amounts, amounts)
def test_nobody_gets_less_of_more(one: int, other: int) -> None:
    less, more = split(min(one, other)), split(max(one, other))
    assert less.treasury <= more.treasury and less.incentive <= more.incentive and less.stakers <= more.stakers


@given(amounts)
def test_one_more_costs_the_operator_at_most_what_flooring_kept(amount: int) -> None:
    assert split(amount + 1).operator >= split(amount).operator - 2


@given(st.integers(max_value=-1))
def test_a_negative_price_is_impossible(amount: int) -> None:
    with pytest.raises(InvariantViolated):
        split(amount)


@given(asks, millis, amounts)
def test_a_price_is_within_the_cap_and_exact_below_it(ask: Ask, billed: int, cap: int) -> None:
    found = price(ask, billed, cap)
    exact = ask.rate_per_second * billed // 1000 + ask.fixed
    assert found == min(cap, exact)


@given(asks, millis, millis, amounts, amounts)
def test_a_price_grows_with_time_and_cap(ask: Ask, some: int, time: int, cap: int, other: int) -> None:
    assert price(ask, min(some, time), cap) <= price(ask, max(some, time), cap)
    assert price(ask, time, min(cap, other)) <= price(ask, time, max(cap, other))


@given(asks, millis, millis, st.integers(1, limits.TIMEOUT_S))
def test_no_attempt_costs_more_than_the_worst_price(ask: Ask, claim: int, evidence: int, timeout_s: int) -> None:
    billed = billed_ms(claim, evidence, timeout_s)
    assert price(ask, billed, 2**200) <= worst_price(ask, timeout_s)


@given(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53), st.integers(1, limits.TIMEOUT_S))
def test_time_is_billed_by_the_least_of_claim_evidence_and_timeout(claim: int, evidence: int, timeout_s: int) -> None:
    billed = billed_ms(claim, evidence, timeout_s)
    assert 0 <= billed <= timeout_s * 1000
    assert billed <= max(0, claim) and billed <= max(0, evidence)
    assert billed == max(0, min(claim, evidence, timeout_s * 1000))


@given(st.integers(0, limits.MICRO_HYPER))
def test_an_amount_is_read_as_it_was_shown(amount: int) -> None:
    assert money.parse(money.show(amount).replace(",", "")) == amount
    assert money.parse(f"{amount} uHYPER") == money.parse(f" {amount}µHYPER ") == amount
    assert money.show(-amount).lstrip("-") == money.show(amount)


@given(st.decimals(0, 10**12, allow_nan=False, places=8), st.sampled_from(["HYPER", "uHYPER", "", "hyper", "H"]))
def test_an_amount_is_exact_or_refused(number: Decimal, unit: str) -> None:
    factor = {"HYPER": 10**6, "uHYPER": 1}.get(unit)
    exact = None if factor is None else number * factor
    if exact is not None and exact == exact.to_integral_value() and exact <= limits.MICRO_HYPER:
        assert money.parse(f"{number:f} {unit}") == exact
    else:
        with pytest.raises(ValueError):
            money.parse(f"{number:f} {unit}")


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for parse in units.PARSERS.values():
        try:
            value = parse(text)
        except ValueError:
            continue
        assert type(value) is int
        assert value >= 0


@given(st.integers(0, 2**60), st.sampled_from([("B", 1), ("kB", 1000), ("KiB", 1024), ("MiB", 2**20), ("TiB", 2**40)]))
def test_bytes_with_units(count: int, unit: tuple[str, int]) -> None:
    assert units.parse_bytes(f"{count}{unit[0]}") == units.parse_bytes(f" {count} {unit[0]} ") == count * unit[1]


@given(st.integers(0, 2**60))
def test_shown_bytes_are_near_what_they_are(count: int) -> None:
    shown, unit = units.show_bytes(count).split()
    factor = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert abs(Decimal(shown) * factor - count) <= Decimal(factor) / 10


@given(st.integers(0, 10**9))
def test_seconds_and_cores_with_units(count: int) -> None:
    for unit, factor in (("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86400)):
        assert units.parse_seconds(f"{count}{unit}") == count * factor
    assert units.parse_milli_cpu(f"{count}m") == count
    assert units.parse_milli_cpu(f"{count}") == units.parse_milli_cpu(f"{count}.000 cores") == count * 1000
