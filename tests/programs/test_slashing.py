"""Reports from bond to execution, and the ways to bend them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from solders.pubkey import Pubkey

from .network import ALL, NODES_AND_MONEY, PANELS, Network, Operator
from .world import DAY, HYPER, Refused, refuses

BOND = 100 * HYPER
STAKE = 10_000 * HYPER


@pytest.fixture
def network() -> Network:
    return Network(ALL)


class Trial:
    """An accused, a reporter, and validators who were there before."""

    def __init__(self, network: Network, validators: int = 10) -> None:
        self.network, world = network, network.world
        self.accused = network.operator(STAKE)
        self.validators = [network.operator(STAKE) for _ in range(validators)]
        self.reporter = world.person()
        self.tokens = world.tokens(self.reporter.pubkey(), BOND)
        world.wait(1)
        self.case = network.report(self.reporter, self.tokens, self.accused.stake)

    def judge(self, votes_for: int, votes_against: int, skip: int = 0) -> None:
        seats = self.validators[skip : skip + votes_for + votes_against]
        self.network.judge(self.case, [(each, index < votes_for) for index, each in enumerate(seats)])

    @property
    def state(self) -> str:
        return self.network.world.record("slashing", "Case", self.case)["state"]

    @property
    def stake(self) -> dict:
        return self.network.world.record("staking", "Stake", self.accused.stake)


def test_a_confirmed_report_is_executed_after_the_time_to_appeal(network):
    world = network.world
    trial = Trial(network)
    assert trial.stake["reports"] == 1
    trial.judge(3, 2)
    assert trial.state == "Confirmed"
    world.wait(7 * DAY)
    with refuses(world, "TooEarly", "slashing"):
        network.execute_case(trial.case, trial.tokens)
    world.wait(1)
    treasury = world.balance(world.named["treasury"])
    network.execute_case(trial.case, trial.tokens)
    proceeds = STAKE * 2_500 // 10_000
    assert trial.stake["amount"] == STAKE - proceeds
    assert trial.stake["reports"] == 0
    assert world.balance(trial.tokens) == BOND + proceeds // 10
    assert world.balance(world.named["collection"]) == proceeds // 2
    assert world.balance(world.named["treasury"]) - treasury == proceeds - proceeds // 10 - proceeds // 2
    assert world.balance(world.named["slashing.vault"]) == 0
    supply = world.supply()
    world.send("token", "burn_collection", world.payer, id=0, payer=world.payer.pubkey())
    assert world.supply() == supply - proceeds // 2
    with refuses(world, "WrongState", "slashing"):
        network.execute_case(trial.case, trial.tokens)
    world.send("slashing", "close_case", case=trial.case, reporter=trial.reporter.pubkey())
    assert not world.exists(trial.case)


@pytest.mark.parametrize(("votes_for", "votes_against"), [(0, 0), (2, 0), (3, 3), (3, 4)])
def test_a_report_not_confirmed_loses_its_bond_and_frees_the_stake(network, votes_for, votes_against):
    world = network.world
    trial = Trial(network)
    treasury = world.balance(world.named["treasury"])
    trial.judge(votes_for, votes_against)
    assert trial.state == "Dismissed"
    assert trial.stake["reports"] == 0
    assert world.balance(world.named["treasury"]) - treasury == BOND
    with refuses(world, "WrongState", "slashing"):
        network.close_round(trial.case)
    with refuses(world, "WrongState", "slashing"):
        network.execute_case(trial.case, trial.tokens)


def appeal(trial: Trial, by: Operator | None = None) -> None:
    accused = (by or trial.accused).owner
    trial.network.world.send("slashing", "appeal", accused, accused=accused.pubkey(), case=trial.case)


@pytest.mark.parametrize(("votes_for", "votes_against", "state"), [(0, 3, "Overturned"), (2, 2, "Overturned"),
                                                                   (3, 2, "Upheld"), (0, 0, "Upheld")])  # fmt: skip
def test_an_appeal_is_judged_by_others(network, votes_for, votes_against, state):
    world = network.world
    trial = Trial(network)
    trial.judge(3, 0)
    with refuses(world, "WrongAddress", "slashing"):
        appeal(trial, trial.validators[0])
    appeal(trial)
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    with refuses(world, "Partial", "slashing"):
        network.nominate(trial.case, trial.validators[0])
    seats = trial.validators[3 : 3 + votes_for + votes_against]
    for each in seats:
        network.nominate(trial.case, each)
    for phase in (network.commit, network.reveal):
        world.wait(DAY)
        for index, each in enumerate(seats):
            number = (2,) if phase == network.commit else ()
            phase(trial.case, each, index < votes_for, *number)
    world.wait(DAY)
    network.close_round(trial.case)
    assert trial.state == state
    if state == "Upheld":
        network.execute_case(trial.case, trial.tokens)
        assert trial.stake["amount"] == STAKE * 3 // 4
    else:
        assert trial.stake["reports"] == 0
        with refuses(world, "WrongState", "slashing"):
            appeal(trial)


def test_an_appeal_too_late_is_refused(network):
    trial = Trial(network)
    trial.judge(3, 0)
    network.world.wait(7 * DAY + 1)
    with refuses(network.world, "TooLate", "slashing"):
        appeal(trial)


def test_the_panel_is_the_lowest_tickets_whoever_names_them(network):
    """Two chains, the same validators named in opposite orders, the same panel."""
    panels = []
    for order in (1, -1):
        network = Network(ALL)
        world = network.world
        trial = Trial(network, validators=14)
        world.wait(20)
        world.send("slashing", "draw", case=trial.case)
        for each in trial.validators[::order]:
            record = world.record("slashing", "Case", trial.case)
            lowest = record["seats"] < 10
            try:
                network.nominate(trial.case, each)
            except Refused:
                assert not lowest
        record = world.record("slashing", "Case", trial.case)
        assert record["seats"] == 10
        panels.append({(bytes(seat["owner"]), seat["ticket"]) for seat in record["panel"]})
    assert panels[0] == panels[1]


def test_who_may_not_judge(network):
    world = network.world
    trial = Trial(network, validators=1)
    late = network.operator(STAKE)
    small = network.operator(STAKE - 1)
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    with refuses(world, "Partial", "slashing"):
        network.nominate(trial.case, trial.accused)
    with refuses(world, "TooNew", "slashing"):
        network.nominate(trial.case, late)
    with refuses(world, "NoValidator", "slashing"):
        network.nominate(trial.case, small)
    judge = trial.validators[0]
    mixed = Operator(judge.owner, judge.key, judge.tokens, judge.stake, trial.accused.node, judge.capacity)
    with refuses(world, "NoValidator", "slashing"):
        network.nominate(trial.case, mixed)
    network.nominate(trial.case, judge)
    with refuses(world, "NotDrawn", "slashing"):
        network.nominate(trial.case, judge)
    with refuses(world, "TooEarly", "slashing"):
        network.commit(trial.case, judge, True)


def test_a_vote_is_shown_as_it_was_committed_and_once(network):
    world = network.world
    trial = Trial(network, validators=2)
    judge, other = trial.validators
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    network.nominate(trial.case, judge)
    world.wait(DAY)
    network.commit(trial.case, judge, True)
    with refuses(world, "AlreadyCommitted", "slashing"):
        network.commit(trial.case, judge, False)
    with refuses(world, "NotOnPanel", "slashing"):
        network.commit(trial.case, other, True)
    world.wait(DAY)
    with refuses(world, "TooLate", "slashing"):
        network.commit(trial.case, judge, False)
    with refuses(world, "WrongReveal", "slashing"):
        network.reveal(trial.case, judge, False)
    network.reveal(trial.case, judge, True)
    with refuses(world, "WrongReveal", "slashing"):
        network.reveal(trial.case, judge, True)


def test_a_round_is_drawn_while_its_hash_is_known_or_not_at_all(network):
    """Were another slot named, whoever alone is awake could let hashes pass until it likes one."""
    world = network.world
    trial = Trial(network)
    with refuses(world, "TooEarly", "slashing"):
        world.send("slashing", "draw", case=trial.case)
    seed_slot = world.record("slashing", "Case", trial.case)["seed_slot"]
    world.wait(200, slots=seed_slot + 512 - world.slot)
    with refuses(world, "TooEarly", "slashing"):
        network.close_round(trial.case)
    world.wait(0, slots=1)
    with refuses(world, "TooLate", "slashing"):
        world.send("slashing", "draw", case=trial.case)
    treasury = world.balance(world.named["treasury"])
    network.close_round(trial.case)
    assert (trial.state, trial.stake["reports"]) == ("Dismissed", 0)
    assert world.balance(world.named["treasury"]) - treasury == BOND


def test_an_appeal_that_nobody_draws_leaves_what_was_found(network):
    world = network.world
    trial = Trial(network)
    trial.judge(3, 0)
    appeal(trial)
    seed_slot = world.record("slashing", "Case", trial.case)["seed_slot"]
    world.wait(200, slots=seed_slot + 512 - world.slot)
    with refuses(world, "TooEarly", "slashing"):
        network.close_round(trial.case)
    world.wait(1)
    network.close_round(trial.case)
    assert trial.state == "Upheld"
    network.execute_case(trial.case, trial.tokens)


def test_one_owner_has_one_seat(network):
    world = network.world
    owner_of_two = network.operator(STAKE)
    second = network.stake(owner_of_two.owner, world.tokens(owner_of_two.owner.pubkey(), STAKE), STAKE, id=1)
    trial = Trial(network, validators=0)
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    twin = Operator(
        owner_of_two.owner, owner_of_two.key, owner_of_two.tokens, second, owner_of_two.node, Pubkey.default()
    )
    for each in (owner_of_two, twin):
        with contextlib.suppress(Refused):
            network.nominate(trial.case, each)
    assert world.record("slashing", "Case", trial.case)["seats"] == 1


def test_reports_unseat_no_judge(network):
    """A bond each would otherwise be the price of a panel of friends."""
    world = network.world
    trial = Trial(network, validators=2)
    world.pay(world.reserve, world.bank, trial.tokens, 2 * BOND)
    for id, each in enumerate(trial.validators, start=1):
        network.report(trial.reporter, trial.tokens, each.stake, id=id)
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    for each in trial.validators:
        network.nominate(trial.case, each)
    assert world.record("slashing", "Case", trial.case)["seats"] == 2


def test_an_owner_votes_though_a_node_was_named_that_is_switched_off(network):
    world = network.world
    judge = network.operator(STAKE)
    off = world.person()
    world.send(
        "nodes", "register", judge.owner, off, owner=judge.owner.pubkey(), key=off.pubkey(), capability=b"c" * 32
    )
    trial = Trial(network, validators=0)
    named = replace(judge, key=off, node=world.address("nodes", "node", off.pubkey()))
    world.wait(20)
    world.send("slashing", "draw", case=trial.case)
    network.nominate(trial.case, named)
    with refuses(world, "NotDrawn", "slashing"):
        network.nominate(trial.case, judge)
    by_owner = replace(judge, key=judge.owner)
    world.wait(DAY)
    with refuses(world, "NotOnPanel", "slashing"):
        network.commit(trial.case, judge, True)
    network.commit(trial.case, by_owner, True)
    with refuses(world, "AlreadyCommitted", "slashing"):
        network.commit(trial.case, named, False)
    world.wait(DAY)
    network.reveal(trial.case, by_owner, True)
    assert world.record("slashing", "Case", trial.case)["panel"][0]["ballot"] == "For"


def test_reports_one_after_the_other_do_not_keep_a_stake_for_ever(network):
    """Its owner ends it while it is under report; what was reported before the cooldown is over is judged, and
    that is all."""
    world = network.world
    trial = Trial(network, validators=0)
    world.pay(world.reserve, world.bank, trial.tokens, 10 * BOND)
    network.unstake(trial.accused.owner, trial.accused.stake)
    case, id = trial.case, 0
    while world.time + 3 * DAY < trial.stake["free_at"]:
        world.wait(20)
        world.send("slashing", "draw", case=case)
        world.wait(3 * DAY - 30)
        ending, id = case, id + 1
        case = network.report(trial.reporter, trial.tokens, trial.accused.stake, id=id)
        world.wait(30)
        network.close_round(ending)
        assert trial.stake["reports"] == 1
    assert id > 5
    world.wait(3 * DAY)
    with refuses(world, "ReportedTooLate", "staking"):
        network.report(trial.reporter, trial.tokens, trial.accused.stake, id=99)
    network.close_round(case)  # nobody drew
    network.withdraw(trial.accused.owner, trial.accused.stake, trial.accused.tokens)
    assert world.balance(trial.accused.tokens) == STAKE


def test_parameters_stay_within_bounds():
    judged = Network((*NODES_AND_MONEY, "slashing"))
    world, authority = judged.world, judged.authority
    set_to = lambda parameters: world.send(  # noqa: E731
        "slashing", "set_parameters", authority, authority=authority.pubkey(), parameters=parameters
    )
    set_to(PANELS)
    changes: list[dict[str, Any]] = [
        {"bond": HYPER - 1}, {"bps": [100, 500, 1_000, 2_500, 5_001]}, {"bps": [0, 500, 1_000, 2_500, 5_000]},
        {"appeal_seconds": DAY - 1}, {"commit_seconds": 3_599}, {"reveal_seconds": 7 * DAY + 1},
        {"validator_amount": 0}, {"padding": b"\1" + bytes(5)},
    ]  # fmt: skip
    for change in changes:
        with refuses(world, "BadParameters", "slashing"):
            set_to(PANELS | change)
