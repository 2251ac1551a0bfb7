"""The rules of governance: sums, floors, weights, draws, and that every state has a way out."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from hypernode.governance import panels, proposals, rewards, slashing, staking, unlocks
from hypernode.governance.panels import Ballot, Candidate
from hypernode.governance.parameters import (
    BOUNDS,
    Parameters,
    SlashingRules,
    StakingRules,
    VotingRules,
    changed,
    restored,
    values,
)
from hypernode.governance.proposals import Choice, Proposal
from hypernode.governance.rewards import SCALE, Pool
from hypernode.governance.slashing import Case
from hypernode.governance.staking import Stake, StakeState, Tier
from hypernode.kernel.errors import (
    AlreadyCommitted,
    HypernodeError,
    InvalidInput,
    NothingToClaim,
    NotOnPanel,
    ParameterOutOfBounds,
    ProposalKindUnavailable,
    ProposalStateWrong,
    StakeCooling,
    StakeFrozen,
    StakeRefused,
    StakeStateWrong,
    TooEarly,
    TooLate,
    UnlockNotDue,
    WeightTooLow,
    WrongReveal,
)
from hypernode.kernel.money import MICRO_PER_HYPER
from hypernode.ledger.model import LEAST_OPERATOR_BPS, SUPPLY, Shares, split

HYPER = MICRO_PER_HYPER
DAY = 86_400
amounts = st.integers(HYPER, SUPPLY)
days = st.integers(14, 365)
RULES = StakingRules()


def uuids(count: int) -> list[UUID]:
    return [UUID(int=number + 1) for number in range(count)]


# ── weights ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lock", "thousandths"), [(14, 1115), (30, 1247), (90, 1740), (180, 2479), (365, 4000)])
def test_weights_are_those_of_the_table(lock: int, thousandths: int) -> None:
    assert round(staking.weight_of(1_000 * HYPER, lock) / HYPER) == thousandths
    assert staking.weight_of(365, lock) == 365 + 3 * lock


@given(amounts, st.integers(14, 10_000))
def test_a_weight_is_floored_and_at_most_four_times(amount: int, lock: int) -> None:
    exact = Fraction(amount * (365 + 3 * min(lock, 365)), 365)
    assert exact - 1 < staking.weight_of(amount, lock) <= exact <= 4 * amount


@pytest.mark.parametrize(
    ("hyper", "tier"),
    [(0, "starter"), (999, "starter"), (1_000, "bronze"), (10_000, "silver"), (50_000, "gold"), (100_000, "diamond")],
)
def test_tiers(hyper: int, tier: str) -> None:
    assert staking.tier_of(hyper * HYPER) == Tier(tier)


# ── stakes and rewards ──────────────────────────────────────────────────────────────────────────────────────────────


acts = st.lists(
    st.tuples(
        st.sampled_from(["open", "add", "unstake", "reward", "reward", "claim", "slash"]),
        st.integers(0, 9),
        st.integers(1, 3 * 10**12),
        days,
    ),
    max_size=40,
)


def test_nobody_loses_by_how_often_rewards_are_distributed() -> None:
    # A tenth of the supply, locked for a year: 10 µHYPER move the accumulator by nothing.
    weight, balance = 400_000_000 * MICRO_PER_HYPER, 0
    pool = Pool(staked=weight // 4, weight=weight)
    for _ in range(10_000):
        balance += 10
        pool = rewards.distribute(pool, balance)
    assert balance - 400 <= rewards.earned_since(pool, weight, 0) <= pool.held <= balance


@given(acts)
def test_rewards_are_those_of_sharing_out_one_by_one(history: list[tuple[str, int, int, int]]) -> None:
    """The accumulator pays what a loop over all stakers would, less what flooring leaves, and never more."""
    pool, balance, height = Pool(), 0, 0
    stakes: list[Stake] = []
    exact: dict[UUID, Fraction] = {}
    steps = heaviest = 0
    for act, who, amount, lock in history:
        height += 1
        stake = stakes[who % len(stakes)] if stakes else None
        waiting = balance - pool.held
        if waiting and pool.weight:
            for one in stakes:
                exact[one.id] += Fraction(waiting * one.weight, pool.weight)
            steps += 1
        pool = rewards.distribute(pool, balance)
        if act == "reward":
            balance += amount
        elif act == "open":
            made, pool = staking.lock(UUID(int=height), UUID(int=who + 1), amount + HYPER, lock, RULES, pool, height, 0)
            stakes.append(made)
            exact[made.id] = Fraction(0)
        elif stake is not None:
            try:
                if act == "add":
                    changed_stake, pool = staking.add(stake, amount, pool, height)
                elif act == "unstake":
                    changed_stake, pool = staking.unstake(stake, pool, height, 0)
                elif act == "slash":
                    changed_stake, pool, _ = staking.slash(staking.freeze(stake, 0), lock * 10, pool, height)
                else:
                    changed_stake, pool, paid = staking.claim(stake, pool)
                    balance -= paid
            except HypernodeError:
                continue
            stakes[stakes.index(stake)] = changed_stake
        assert pool.weight == sum(one.weight for one in stakes)
        assert pool.staked == sum(one.amount for one in stakes)
        assert pool.distributed == pool.held + pool.paid
        assert pool.held <= balance
        due = {one.id: one.claimed + staking.claimable(one, pool) for one in stakes}
        assert sum(due.values()) <= pool.distributed
        for one in stakes:
            # Under one µHYPER a settlement, and what flooring the accumulator loses on a weight.
            heaviest = max(heaviest, one.weight)
            lost = height + steps * Fraction(heaviest, SCALE)
            assert exact[one.id] - lost <= due[one.id] <= exact[one.id]


def test_a_reward_without_stakers_waits_for_the_next() -> None:
    pool = rewards.distribute(Pool(), 1_000)
    assert pool == Pool()
    stake, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 365, RULES, pool, 1, 0)
    pool = rewards.distribute(pool, 1_000)
    assert staking.claimable(stake, pool) == 1_000


def test_who_comes_late_does_not_share_in_what_came_before() -> None:
    first, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 30, RULES, Pool(), 1, 0)
    pool = rewards.distribute(pool, 777)
    second, pool = staking.lock(UUID(int=3), UUID(int=4), 1_000 * HYPER, 365, RULES, pool, 2, 0)
    assert staking.claimable(second, pool) == 0
    assert 776 <= staking.claimable(first, pool) <= 777
    with pytest.raises(NothingToClaim):
        staking.claim(second, pool)


def test_a_claim_is_paid_once() -> None:
    stake, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 30, RULES, Pool(), 1, 0)
    pool = rewards.distribute(pool, 500)
    stake, pool, paid = staking.claim(stake, pool)
    assert 499 <= paid <= 500 and staking.claimable(stake, pool) == 0
    with pytest.raises(NothingToClaim):
        staking.claim(stake, pool)


def test_what_is_earned_outlives_the_stake() -> None:
    stake, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 14, RULES, Pool(), 1, 0)
    pool = rewards.distribute(pool, 500)
    stake, pool = staking.unstake(stake, pool, 2, 0)
    assert pool.weight == 0 and stake.free_at == 14 * DAY
    with pytest.raises(StakeCooling):
        staking.withdraw(stake, pool, 14 * DAY - 1)
    stake, pool, amount = staking.withdraw(stake, pool, 14 * DAY)
    assert amount == HYPER and stake.state is StakeState.WITHDRAWN
    _, _, paid = staking.claim(stake, pool)
    assert 499 <= paid <= 500


@pytest.mark.parametrize(("amount", "lock"), [(HYPER - 1, 30), (HYPER, 13), (HYPER, 366), (0, 30)])
def test_what_a_stake_cannot_be(amount: int, lock: int) -> None:
    with pytest.raises(StakeRefused):
        staking.lock(UUID(int=1), UUID(int=2), amount, lock, RULES, Pool(), 1, 0)


def test_a_reported_stake_is_frozen() -> None:
    stake, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 30, RULES, Pool(), 1, 0)
    frozen = staking.freeze(stake, 0)
    with pytest.raises(StakeFrozen):
        staking.add(frozen, 1, pool, 2)
    ended, after = staking.unstake(frozen, pool, 2, 0)
    with pytest.raises(StakeFrozen):
        staking.withdraw(staking.freeze(ended, 30 * DAY - 1), after, 100 * DAY)
    with pytest.raises(StakeStateWrong, match="cooldown"):
        staking.freeze(ended, 30 * DAY)
    emptied, _, _ = staking.withdraw(staking.release(ended), after, 100 * DAY)
    with pytest.raises(StakeStateWrong):
        staking.freeze(emptied, 0)


def test_votes_use_the_weight_from_before() -> None:
    stake, pool = staking.lock(UUID(int=1), UUID(int=2), HYPER, 30, RULES, Pool(), 5, 0)
    first = stake.weight
    assert [staking.weight_before(stake, height) for height in (5, 6)] == [0, first]
    stake, pool = staking.add(stake, HYPER, pool, 8)
    assert [staking.weight_before(stake, height) for height in (5, 6, 8, 9)] == [0, first, first, stake.weight]
    stake, _ = staking.add(stake, HYPER, pool, 9)
    assert staking.weight_before(stake, 7) == 0


# ── unlocks and splits ──────────────────────────────────────────────────────────────────────────────────────────────


def test_unlocks_sum_to_what_is_locked() -> None:
    vesting = unlocks.Vesting(1_000, 0, unlocks.LOCKED)
    seen = []
    for cycle in range(unlocks.CYCLES):
        due = 1_000 + cycle * 30 * DAY
        with pytest.raises(UnlockNotDue):
            unlocks.unlock(vesting, due - 1)
        vesting, parts = unlocks.unlock(vesting, due)
        assert parts.burned + parts.stakers + parts.operations == parts.amount and parts.cycle == cycle
        seen.append(parts)
    assert vesting.left == 0 and sum(one.amount for one in seen) == 84_603_487 * HYPER
    assert seen[0].amount == 6_768_279 * HYPER and len({one.amount for one in seen[1:]}) == 1
    assert seen[1].burned == 1_415_185_600_000 and seen[1].stakers == 2_122_778_400_000
    with pytest.raises(UnlockNotDue):
        unlocks.unlock(vesting, 10**12)


@given(st.integers(0, SUPPLY), st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000))
def test_a_split_sums_to_the_whole_whatever_was_voted(price: int, treasury: int, incentive: int, stakers: int) -> None:
    change = {
        "market.treasury_bps": treasury,
        "market.incentive_bps": incentive,
        "market.stakers_bps": stakers,
    }
    if treasury + incentive + stakers > 10_000 - LEAST_OPERATOR_BPS:
        with pytest.raises(ParameterOutOfBounds):
            changed(Parameters(), change)
        return
    parts = split(price, changed(Parameters(), change).market)
    assert parts.operator + parts.treasury + parts.incentive + parts.stakers == price
    assert parts.operator * 10_000 >= price * LEAST_OPERATOR_BPS


@given(st.integers(0, SUPPLY))
def test_proceeds_sum_to_what_was_slashed(amount: int) -> None:
    parts = slashing.proceeds_of(amount)
    assert parts.reward + parts.burned + parts.treasury == amount
    assert parts.reward == amount // 10 and parts.burned == amount // 2


# ── parameters ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_parameter_has_bounds_that_hold_its_default() -> None:
    assert values(Parameters()).keys() == BOUNDS.keys()
    for name, value in values(Parameters()).items():
        assert BOUNDS[name].lowest <= value <= BOUNDS[name].highest, name


@given(st.sampled_from(sorted(BOUNDS)), st.integers(-1, 2**60))
def test_no_vote_crosses_a_bound(name: str, value: int) -> None:
    try:
        made = changed(Parameters(), {name: value})
    except ParameterOutOfBounds:
        return
    assert BOUNDS[name].lowest <= value <= BOUNDS[name].highest
    assert values(made) == {**values(Parameters()), name: value}
    assert made.staking.shortest_days <= made.staking.longest_days
    assert made.voting.expiry_seconds >= made.voting.timelock_seconds + DAY
    assert made.market.operator_bps >= LEAST_OPERATOR_BPS


@pytest.mark.parametrize("value", [True, 1.0, "5", None, [], 10**40])
def test_a_value_is_an_integer(value: object) -> None:
    with pytest.raises(ParameterOutOfBounds):
        changed(Parameters(), {"staking.shortest_days": value})


def test_all_that_is_wrong_is_said_at_once_and_changes_nothing() -> None:
    with pytest.raises(ParameterOutOfBounds) as refused:
        changed(Parameters(), {"staking.shortest_days": 13, "slashing.bond": 0, "weather": 1})
    assert len(refused.value.errors) == 3


def test_what_bounds_do_not_allow_any_more_is_as_by_default() -> None:
    found = restored({"staking.shortest_days": 30, "slashing.bond": 0, "gone": 5})
    assert found.staking.shortest_days == 30 and found.slashing == SlashingRules()
    found = restored({"staking.shortest_days": 30, "staking.longest_days": 20, "market.treasury_bps": 2000})
    assert found == Parameters(), "each is within its bounds, and they are not together"


# ── proposals ───────────────────────────────────────────────────────────────────────────────────────────────────────


def proposal(**changes: object) -> Proposal:
    made = Proposal(
        id=UUID(int=1),
        proposer=UUID(int=2),
        kind=proposals.Kind.TEXT,
        title="x",
        payload=b"",
        rules=VotingRules(),
        created_at=0,
    )
    return replace(made, **changes)


@given(st.integers(1, SUPPLY), st.data())
def test_a_vote_passes_with_a_quorum_and_more_for_than_against(total: int, data: st.DataObject) -> None:
    active = proposals.activate(proposal(), VotingRules(), total, 1, 0)
    cast = {choice: data.draw(st.integers(0, total // 3)) for choice in Choice}
    for choice, weight in cast.items():
        if weight:
            active = proposals.vote(active, weight, choice, 1)
    with pytest.raises(TooEarly):
        proposals.finalize(active, 3 * DAY - 1)
    ended = proposals.finalize(active, 3 * DAY)
    passes = Fraction(sum(cast.values()), total) >= Fraction(1, 10) and cast[Choice.FOR] > cast[Choice.AGAINST]
    assert (ended.state is proposals.State.QUEUED) is passes


def test_a_draft_is_voted_by_the_rules_of_its_activation() -> None:
    stricter = VotingRules(quorum_bps=5_000)
    assert proposals.activate(proposal(), stricter, 100, 1, 1_000).rules == stricter


def test_the_times_of_a_proposal() -> None:
    active = proposals.activate(proposal(), VotingRules(), 100, 1, 1_000)
    end = 1_000 + 3 * DAY
    active = proposals.vote(active, 60, Choice.FOR, end - 1)
    for late in (lambda: proposals.vote(active, 1, Choice.AGAINST, end), lambda: proposals.cancel(active, end)):
        with pytest.raises(TooLate):
            late()
    queued = proposals.finalize(active, end + 5)
    assert queued.executable_at == end + 5 + DAY and queued.expires_at == end + 5 + 14 * DAY
    with pytest.raises(TooEarly):
        proposals.execute(queued, end + 4 + DAY)
    assert proposals.execute(queued, end + 5 + DAY).state is proposals.State.EXECUTED
    with pytest.raises(TooLate):
        proposals.execute(queued, end + 5 + 14 * DAY)
    with pytest.raises(TooEarly):
        proposals.finalize(queued, end + 4 + 14 * DAY)
    assert proposals.finalize(queued, end + 5 + 14 * DAY).state is proposals.State.EXPIRED


def test_states_that_lead_nowhere_refuse_everything() -> None:
    for state in ("defeated", "executed", "expired", "cancelled"):
        ended = proposal(state=proposals.State(state), activated_at=0)
        for act in (proposals.cancel, proposals.finalize, proposals.execute):
            with pytest.raises(ProposalStateWrong):
                act(ended, 10**9)
        with pytest.raises(ProposalStateWrong):
            proposals.vote(ended, 1, Choice.FOR, 1)


def test_what_proposals_can_carry() -> None:
    read = proposals.read_payload
    with pytest.raises(ProposalKindUnavailable):
        read(proposals.Kind.PROGRAM_UPGRADE, {})
    with pytest.raises(InvalidInput):
        read(proposals.Kind.TEXT, {"x": 1})
    with pytest.raises(InvalidInput):
        read(proposals.Kind.MARKET_PARAMETER, {"parameters": {"staking.shortest_days": 30}})
    with pytest.raises(InvalidInput):
        read(proposals.Kind.STAKING_PARAMETER, {"parameters": {"market.stakers_bps": 30}})
    with pytest.raises(InvalidInput):
        read(proposals.Kind.TREASURY_SPEND, {"project_id": str(UUID(int=1)), "amount": 0})
    long = {"parameters": {f"slashing.{'x' * 30}{number}": 1 for number in range(12)}}
    with pytest.raises(InvalidInput, match="256"):
        proposals.encode_payload(read(proposals.Kind.STAKING_PARAMETER, long))
    with pytest.raises(WeightTooLow):
        proposals.require_weight(1_000_000 * HYPER - 1, VotingRules())
    with pytest.raises(ValueError, match="100 bytes"):
        proposals.check_title("ü" * 51)


def test_a_proposal_does_what_it_said() -> None:
    change = proposals.read_payload(proposals.Kind.MARKET_PARAMETER, {"parameters": {"market.stakers_bps": 200}})
    kept = proposal(kind=proposals.Kind.MARKET_PARAMETER, payload=proposals.encode_payload(change))
    assert proposals.effect_of(kept) == change and proposals.effect_of(proposal()) is None


# ── panels and cases ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(min_size=32, max_size=32), st.dictionaries(st.integers(1, 90), st.integers(1, 30), max_size=60))
def test_a_panel_is_the_lowest_tickets_one_an_owner(seed: bytes, stakes: dict[int, int]) -> None:
    candidates = [Candidate(UUID(int=owner), UUID(int=stake)) for stake, owner in stakes.items()]
    panel = panels.draw(candidates, seed, 10)
    assert panel == panels.draw(reversed(candidates), seed, 10)
    lowest: dict[UUID, int] = {}
    for one in candidates:
        digest = hashlib.sha256(seed + one.stake.bytes).digest()
        ticket = int.from_bytes(digest[:8], "little")
        lowest[one.owner] = min(lowest.get(one.owner, ticket), ticket)
    assert [seat.ticket for seat in panel] == sorted(lowest.values())[:10]
    assert all(lowest[seat.owner] == seat.ticket for seat in panel)


def case(**changes: object) -> Case:
    made = Case(
        id=UUID(int=99),
        reporter=UUID(int=1),
        stake=UUID(int=500),
        accused=UUID(int=2),
        kind=slashing.Kind.INVALID_RESULT,
        evidence="0" * 64,
        bps=2500,
        bond=100 * HYPER,
        rules=SlashingRules(),
        reported_at=0,
        reported_height=1,
    )
    return replace(made, **changes)


def salt(voter: UUID) -> bytes:
    return hashlib.sha256(voter.bytes).digest()


def judged(drawn: Case, votes_for: int, votes_against: int, start: int) -> Case:
    """The case after its panel has voted, committing and revealing as it must."""
    ballots = [Ballot.FOR] * votes_for + [Ballot.AGAINST] * votes_against
    for seat, ballot in zip(drawn.panel, ballots, strict=False):
        hidden = panels.commitment(ballot, salt(seat.owner), drawn.id.bytes, drawn.round, seat.owner.bytes)
        drawn = slashing.commit(drawn, seat.owner, hidden, start)
    for seat, ballot in zip(drawn.panel, ballots, strict=False):
        drawn = slashing.reveal(drawn, seat.owner, ballot, salt(seat.owner), start + DAY)
    return slashing.close_round(drawn, start + 2 * DAY)


def candidates(count: int) -> list[Candidate]:
    return [Candidate(owner, UUID(int=1000 + owner.int)) for owner in uuids(count)]


@pytest.mark.parametrize(
    ("votes_for", "votes_against", "state"),
    [
        (0, 0, "dismissed"),
        (2, 0, "dismissed"),
        (3, 0, "confirmed"),
        (3, 3, "dismissed"),
        (4, 3, "confirmed"),
        (4, 6, "dismissed"),
    ],
)
def test_a_first_round(votes_for: int, votes_against: int, state: str) -> None:
    drawn = slashing.draw(case(), candidates(40), 2, b"\1" * 32, 0)
    assert len(drawn.panel) == 10
    assert not {UUID(int=1), UUID(int=2)} & {seat.owner for seat in drawn.panel}
    assert judged(drawn, votes_for, votes_against, 0).state == state


@pytest.mark.parametrize(
    ("votes_for", "votes_against", "state"),
    [(0, 3, "overturned"), (2, 2, "overturned"), (3, 2, "upheld"), (0, 0, "upheld"), (0, 2, "upheld")],
)
def test_an_appeal_is_judged_by_others(votes_for: int, votes_against: int, state: str) -> None:
    confirmed = judged(slashing.draw(case(), candidates(40), 2, b"\1" * 32, 0), 5, 0, 0)
    assert confirmed.appeal_ends_at == 2 * DAY + 7 * DAY
    with pytest.raises(TooEarly):
        slashing.execute(confirmed, 9 * DAY)
    with pytest.raises(TooLate):
        slashing.appeal(confirmed, 9 * DAY + 1)
    again = slashing.draw(slashing.appeal(confirmed, 9 * DAY), candidates(40), 3, b"\2" * 32, 9 * DAY)
    assert len(again.panel) == 7 and again.round == 2
    assert not {seat.owner for seat in again.panel} & set(confirmed.first)
    ended = judged(again, votes_for, votes_against, 9 * DAY)
    assert ended.state == state
    if ended.state is slashing.State.UPHELD:
        assert slashing.execute(ended, 11 * DAY).state is slashing.State.EXECUTED


def test_a_vote_is_hidden_bound_and_timely() -> None:
    drawn = slashing.draw(case(), candidates(12), 2, b"\1" * 32, 0)
    judge, other = drawn.panel[0].owner, drawn.panel[1].owner
    hidden = panels.commitment(Ballot.FOR, salt(judge), drawn.id.bytes, 1, judge.bytes)
    with pytest.raises(NotOnPanel):
        slashing.commit(drawn, UUID(int=2), hidden, 0)
    committed = slashing.commit(drawn, judge, hidden, 0)
    with pytest.raises(AlreadyCommitted):
        slashing.commit(committed, judge, hidden, 1)
    with pytest.raises(TooEarly):
        slashing.reveal(committed, judge, Ballot.FOR, salt(judge), DAY - 1)
    copied = slashing.commit(committed, other, hidden, 0)
    for voter, ballot in ((judge, Ballot.AGAINST), (other, Ballot.FOR)):
        with pytest.raises(WrongReveal):
            slashing.reveal(copied, voter, ballot, salt(judge), DAY)
    shown = slashing.reveal(copied, judge, Ballot.FOR, salt(judge), DAY)
    with pytest.raises(WrongReveal):
        slashing.reveal(shown, judge, Ballot.FOR, salt(judge), DAY)
    with pytest.raises(TooLate):
        slashing.commit(drawn, other, hidden, DAY)
    with pytest.raises(TooLate):
        slashing.reveal(copied, judge, Ballot.FOR, salt(judge), 2 * DAY)
    with pytest.raises(TooEarly):
        slashing.close_round(shown, 2 * DAY - 1)


@given(st.sampled_from(list(slashing.Kind)), st.integers(0, SUPPLY), st.integers(0, 40))
def test_every_case_ends_though_nobody_does_anything_but_time_passes(
    kind: slashing.Kind, amount: int, people: int
) -> None:
    opened = case(kind=kind, bps=slashing.bps_of(kind, SlashingRules()))
    assert opened.bps <= 5000
    waiting = slashing.draw(opened, candidates(people), 2, b"\3" * 32, 0)
    end = slashing.close_round(waiting, waiting.next_at or 0)
    assert end.state.ended and end.next_at is None


def test_shares_are_the_rules_of_a_price() -> None:
    assert asdict(Shares()) == {"treasury_bps": 1000, "incentive_bps": 400, "stakers_bps": 100}
    assert Shares().operator_bps == 8500
