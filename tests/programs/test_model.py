"""Whatever the numbers: parts sum to the whole, nobody gets more than came in, and order does not matter where it must
not.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hypernode.kernel.money import MICRO_PER_HYPER
from programs.model import proposals, rewards, slashing, staking, unlock
from programs.model.refusal import Refusal

AMOUNTS = st.integers(1, unlock.SUPPLY)
DAYS = st.integers(staking.SHORTEST_LOCK_DAYS, staking.LONGEST_LOCK_DAYS)


@given(AMOUNTS, DAYS)
def test_weight_is_between_the_amount_and_four_times_it(amount, days):
    weight = staking.weight_of(amount, days)
    assert amount <= weight <= 4 * amount
    assert weight <= staking.weight_of(amount, min(365, days + 1))


@pytest.mark.parametrize(("days", "factor"), [(14, 1115), (30, 1246), (90, 1739), (180, 2479), (365, 4000)])
def test_weight_at_the_usual_locks(days, factor):
    assert staking.weight_of(1_000, days) == factor


@given(st.lists(st.tuples(AMOUNTS, DAYS), min_size=1, max_size=20), st.lists(st.integers(0, 10**15), max_size=8))
def test_stakers_never_get_more_than_came_in_and_lose_less_than_a_unit_each(stakes, incomes):
    pool, held, staked = staking.Pool(), rewards.Rewards(), []
    for amount, days in stakes:
        pool, stake = staking.stake_tokens(pool, staking.Stake(), staking.Parameters(1), amount, days, 0, 1)
        staked.append(stake)
    vault = 0
    for income in incomes:
        vault += income
        held = rewards.distribute(held, vault, pool.weight)
    paid = sum(staking.earned(stake, held.accumulator) for stake in staked)
    assert paid <= vault
    # Each distribution floors once over the scale, each stake once more.
    assert vault - paid <= len(staked) + len(incomes) * (pool.weight // staking.SCALE + 1)


@given(st.lists(st.tuples(st.integers(0, 10**12), st.booleans()), max_size=12))
def test_claiming_often_and_claiming_once_are_the_same(steps):
    pool, stake = staking.stake_tokens(staking.Pool(), staking.Stake(), staking.Parameters(1), 777, 30, 0, 1)
    held, vault, often = rewards.Rewards(), 0, 0
    for income, claims in steps:
        vault += income
        held = rewards.distribute(held, vault, pool.weight)
        if claims:
            try:
                held, amount = rewards.claim(held, stake, often)
            except Refusal as refusal:
                if refusal.name != "NothingToClaim":
                    raise
                continue
            often += amount
            vault -= amount
    assert often <= staking.earned(stake, held.accumulator)
    assert vault + often >= staking.earned(stake, held.accumulator)


@given(st.integers(0, unlock.SUPPLY))
def test_what_is_slashed_goes_somewhere(amount):
    parts = slashing.split(amount)
    assert parts.reward + parts.burned + parts.treasury == amount
    assert min(parts.reward, parts.burned, parts.treasury) >= 0


def test_all_that_is_locked_is_unlocked():
    cycles = [unlock.unlock(cycle, 0, cycle * unlock.CYCLE_S) for cycle in range(unlock.CYCLES)]
    assert sum(each.amount for each in cycles) == unlock.LOCKED
    assert all(each.burned + each.stakers + each.operations == each.amount for each in cycles)
    with pytest.raises(Refusal, match="NotDue"):
        unlock.unlock(3, 0, 3 * unlock.CYCLE_S - 1)


@given(st.integers(0, 40), st.randoms(use_true_random=False), st.sampled_from([1, 2]))
def test_a_panel_does_not_depend_on_who_is_named_when(count, chance: random.Random, number):
    stake = staking.Stake(amount=10_000 * MICRO_PER_HYPER, state=staking.StakeState.ACTIVE)
    case = slashing.Case(b"c", b"r", b"a", slashing.Kind.FORGERY, slashing.Parameters(), 1, 9, seed_height=25)
    case = slashing.draw(replace(case, round=number), b"seed", 0, 26)
    validators = [
        slashing.Validator(bytes([owner % 30]), bytes([owner, 1]), bytes([owner, 2]), stake, 500, True, 1)
        for owner in range(count)
    ]
    panels = set()
    for _ in range(3):
        chance.shuffle(validators)
        drawn = case
        for validator in validators:
            try:
                drawn = slashing.nominate(drawn, validator, 1)
            except Refusal as refusal:
                if refusal.name != "NotDrawn":
                    raise
        panels.add(frozenset((seat.owner, seat.ticket) for seat in drawn.panel))
    assert len(panels) == 1
    seats = panels.pop()
    assert len(seats) == min(len({each.owner for each in validators}), 10 if number == 1 else 7)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**16))
def test_a_vote_passes_with_a_tenth_of_all_weight_and_more_for_than_against(votes_for, against, abstain, total):
    proposal = proposals.Proposal(
        proposals.Parameters(), proposals.ProposalState.ACTIVE, total_weight=total, votes_for=votes_for,
        votes_against=against, votes_abstain=abstain,
    )  # fmt: skip
    counted = proposals.finalize(proposal, proposal.end_of_vote)
    passes = 10 * (votes_for + against + abstain) >= total and votes_for > against
    assert (counted.state == proposals.ProposalState.QUEUED) == passes


@pytest.mark.parametrize(
    "parameters",
    [
        staking.Parameters(shortest_days=13), staking.Parameters(longest_days=366), staking.Parameters(least_amount=0),
        slashing.Parameters(bps=(100, 500, 1_000, 2_500, 5_001)), slashing.Parameters(appeal_s=86_399),
        proposals.Parameters(quorum_bps=5_001), proposals.Parameters(voting_s=86_399),
        proposals.Parameters(timelock_s=0), proposals.Parameters(expiry_s=2 * 86_400 - 1),
    ],
)  # fmt: skip
def test_parameters_stay_within_bounds(parameters):
    with pytest.raises(Refusal, match="BadParameters"):
        parameters.check()
