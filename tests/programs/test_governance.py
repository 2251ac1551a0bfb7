"""Proposals from draft to execution, and what they cannot do."""

from __future__ import annotations

import struct

import pytest
from solders import sysvar
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN

from hypernode.chain.programs.bundle import IMAGES

from .network import ALL, SPLIT, VOTING, Network
from .world import DAY, HYPER, LOADER, refuses

MILLION = 1_000_000 * HYPER


@pytest.fixture
def network() -> Network:
    return Network(ALL)


class Voters:
    """Stakers: one who may propose, others who may not."""

    def __init__(self, network: Network, *amounts: int) -> None:
        self.network, world = network, network.world
        self.people = []
        for amount in amounts:
            owner = world.person()
            tokens = world.tokens(owner.pubkey(), amount)
            self.people.append((owner, network.stake(owner, tokens, amount, 365)))
        self.proposer, self.stake = self.people[0]
        world.wait(1)

    def activated(self, kind: str = "Text", call: Instruction | None = None, id: int = 0, image: bytes = b"") -> Pubkey:
        proposal = self.network.propose(self.proposer, self.stake, kind, call, id, image=image)
        self.network.world.send(
            "governance", "activate", self.proposer, proposer=self.proposer.pubkey(), proposal=proposal
        )
        return proposal

    def queued(self, kind: str = "Text", call: Instruction | None = None, id: int = 0, image: bytes = b"") -> Pubkey:
        proposal = self.activated(kind, call, id, image)
        for owner, stake in self.people:
            self.network.vote(proposal, owner, stake)
        self.network.world.wait(3 * DAY)
        self.network.world.send("governance", "finalize", proposal=proposal)
        return proposal

    def state(self, proposal: Pubkey) -> str:
        return self.network.world.record("governance", "Proposal", proposal)["state"]


def test_a_parameter_is_changed_by_vote_and_only_within_bounds(network):
    world = network.world
    voters = Voters(network, MILLION)
    signer = world.named["governance.signer"]
    change = lambda split: world.instruction(  # noqa: E731
        "markets", "set_parameters", authority=signer, split=split
    )
    good, bad = change(SPLIT | {"treasury": 900}), change(SPLIT | {"treasury": 1_100})
    first = voters.queued("MarketParameter", good, 0)
    with refuses(world, "TooEarly", "governance"):
        network.execute(first, good)
    world.wait(DAY)
    with refuses(world, "WrongAccounts", "governance"):
        network.execute(first)
    network.execute(first, good)
    assert world.record("markets", "Config", world.named["markets.config"])["split"]["treasury"] == 900
    with refuses(world, "WrongState", "governance"):
        network.execute(first, good)
    second = voters.queued("MarketParameter", bad, 1)
    world.wait(DAY)
    with refuses(world, "BadSplit", "markets"):
        network.execute(second, bad)


def test_governance_changes_itself(network):
    world = network.world
    voters = Voters(network, MILLION)
    call = world.instruction("governance", "set_parameters", parameters=VOTING | {"quorum_bps": 2_000})
    proposal = voters.queued("StakingParameter", call)
    world.wait(DAY)
    network.execute(proposal, call)
    assert world.record("governance", "Config", world.named["governance.config"])["parameters"]["quorum_bps"] == 2_000


def spend(network: Network, amount: int) -> tuple[Instruction, Pubkey]:
    world = network.world
    signer = world.named["governance.signer"]
    treasury, to = world.tokens(signer, 100 * HYPER), world.tokens(world.key())
    metas = [AccountMeta(treasury, False, True), AccountMeta(to, False, True), AccountMeta(signer, True, False)]
    return Instruction(TOKEN, struct.pack("<BQ", 3, amount), metas), to


def test_the_treasury_is_spent_by_vote_to_whom_was_voted(network):
    world = network.world
    voters = Voters(network, MILLION)
    call, to = spend(network, 40 * HYPER)
    proposal = voters.queued("TreasurySpend", call)
    world.wait(DAY)
    thief = world.tokens(world.person().pubkey())
    stolen = Instruction(TOKEN, call.data, [call.accounts[0], AccountMeta(thief, False, True), call.accounts[2]])
    with refuses(world, "WrongAccounts", "governance"):
        network.execute(proposal, stolen)
    network.execute(proposal, call)
    assert world.balance(to) == 40 * HYPER


@pytest.mark.parametrize("kind", ["MarketParameter", "StakingParameter", "TreasurySpend", "ProgramUpgrade", "Text"])
def test_a_kind_calls_only_its_own_programs(network, kind):
    world = network.world
    voters = Voters(network, MILLION)
    strange = Instruction(world.key(), b"\3" * 9, [])
    with refuses(world, "BadProgram", "governance"):
        network.propose(voters.proposer, voters.stake, kind, strange)
    burn = Instruction(TOKEN, struct.pack("<BQ", 8, 1), [])
    with refuses(world, "BadProgram", "governance"):
        network.propose(voters.proposer, voters.stake, kind, burn)


def test_a_parameter_vote_does_nothing_but_set(network):
    """Governance's address holds the treasury; opening a job with it would be a spend by another name."""
    world = network.world
    voters = Voters(network, MILLION)
    network.market()
    signer = world.named["governance.signer"]
    opening = world.instruction(
        "markets", "open", client=signer, source=world.tokens(signer, HYPER), page=network.page(), id=0, seconds=1,
        document=bytes(32), author=signer, terms=network.terms(),
    )  # fmt: skip
    for kind in ("MarketParameter", "StakingParameter"):
        with refuses(world, "BadProgram", "governance"):
            network.propose(voters.proposer, voters.stake, kind, opening)


def test_the_quorum_does_not_shrink_by_leaving_in_the_slot_that_opens_the_vote(network):
    world = network.world
    voters = Voters(network, MILLION, 9 * MILLION)
    network.unstake(*voters.people[1])
    proposal = voters.activated()
    assert world.record("governance", "Proposal", proposal)["total_weight"] == 40 * MILLION
    network.vote(proposal, *voters.people[1])
    assert world.record("governance", "Proposal", proposal)["votes_for"] == 36 * MILLION


def test_a_small_stake_cannot_propose(network):
    voters = Voters(network, MILLION // 4 - 1)
    with refuses(network.world, "WeightTooLow", "governance"):
        network.propose(voters.proposer, voters.stake)


def test_another_s_stake_cannot_propose_or_vote(network):
    world = network.world
    voters = Voters(network, MILLION, MILLION)
    (_, first), (two, _) = voters.people
    with refuses(world, "NotOwnersStake", "governance"):
        network.propose(two, first)
    proposal = voters.activated()
    with refuses(world, "WrongAddress", "governance"):
        network.vote(proposal, two, first)


def test_a_stake_votes_once(network):
    world = network.world
    voters = Voters(network, MILLION)
    proposal = voters.activated()
    network.vote(proposal, voters.proposer, voters.stake)
    with refuses(world, "AlreadyExists", "governance"):
        network.vote(proposal, voters.proposer, voters.stake)
    vote = world.address("governance", "vote", proposal, voters.stake)
    with refuses(world, "WrongState", "governance"):
        world.send("governance", "close_vote", proposal=proposal, vote=vote, voter=voters.proposer.pubkey())


def test_stakes_made_after_the_vote_was_opened_have_no_weight_in_it(network):
    world = network.world
    voters = Voters(network, MILLION)
    late = world.person()
    proposal = voters.activated()
    stake = network.stake(late, world.tokens(late.pubkey(), MILLION), MILLION, 365)
    with refuses(world, "NoWeight", "governance"):
        network.vote(proposal, late, stake)


def test_a_stake_ended_after_the_vote_was_opened_keeps_its_weight_in_it(network):
    world = network.world
    voters = Voters(network, MILLION)
    proposal = voters.activated()
    world.wait(1)
    network.unstake(voters.proposer, voters.stake)
    network.vote(proposal, voters.proposer, voters.stake)
    assert world.record("governance", "Proposal", proposal)["votes_for"] == 4 * MILLION


@pytest.mark.parametrize(
    ("amounts", "choices", "state"),
    [
        ((MILLION, 9 * MILLION), ("For", None), "Queued"),
        ((MILLION, 9 * MILLION + 1), ("For", None), "Defeated"),
        ((MILLION, MILLION), ("For", "Against"), "Defeated"),
        ((MILLION, MILLION, 9 * MILLION), ("Against", "For", "Abstain"), "Defeated"),
        ((2 * MILLION, MILLION, 17 * MILLION), ("For", "Against", None), "Queued"),
        ((MILLION, 9 * MILLION), ("Abstain", None), "Defeated"),
    ],
)
def test_quorum_and_majority(network, amounts, choices, state):
    world = network.world
    voters = Voters(network, *amounts)
    proposal = voters.activated()
    for (owner, stake), choice in zip(voters.people, choices, strict=True):
        if choice:
            network.vote(proposal, owner, stake, choice)
    with refuses(world, "TooEarly", "governance"):
        world.send("governance", "finalize", proposal=proposal)
    world.wait(3 * DAY)
    world.send("governance", "finalize", proposal=proposal)
    assert voters.state(proposal) == state


def test_a_vote_after_its_end_is_refused(network):
    voters = Voters(network, MILLION)
    proposal = voters.activated()
    network.world.wait(3 * DAY)
    with refuses(network.world, "TooLate", "governance"):
        network.vote(proposal, voters.proposer, voters.stake)


def test_a_proposal_not_executed_in_time_expires(network):
    world = network.world
    voters = Voters(network, MILLION)
    proposal = voters.queued()
    with refuses(world, "TooEarly", "governance"):
        world.send("governance", "expire", proposal=proposal)
    world.wait(14 * DAY)
    with refuses(world, "TooLate", "governance"):
        network.execute(proposal)
    world.send("governance", "expire", proposal=proposal)
    assert voters.state(proposal) == "Expired"


def test_the_proposer_takes_it_back_only_before_the_vote_has_ended(network):
    world = network.world
    voters = Voters(network, MILLION)
    cancel = lambda proposal: world.send(  # noqa: E731
        "governance", "cancel", voters.proposer, proposer=voters.proposer.pubkey(), proposal=proposal
    )
    draft = network.propose(voters.proposer, voters.stake, id=0)
    cancel(draft)
    assert voters.state(draft) == "Cancelled"
    cancel(voters.activated(id=1))
    late = voters.activated(id=2)
    world.wait(3 * DAY)
    with refuses(world, "TooLate", "governance"):
        cancel(late)
    with refuses(world, "WrongState", "governance"):
        cancel(voters.queued(id=3))


def test_a_draft_is_voted_by_the_rules_of_its_activation(network):
    """Else whoever keeps drafts from before could pass them by a quorum that has been raised."""
    world = network.world
    voters = Voters(network, MILLION)
    kept = network.propose(voters.proposer, voters.stake, id=7)
    call = world.instruction("governance", "set_parameters", parameters=VOTING | {"quorum_bps": 5_000})
    proposal = voters.queued("StakingParameter", call)
    world.wait(DAY)
    network.execute(proposal, call)
    world.send("governance", "activate", voters.proposer, proposer=voters.proposer.pubkey(), proposal=kept)
    assert world.record("governance", "Proposal", kept)["parameters"]["quorum_bps"] == 5_000


@pytest.mark.parametrize("change", [{"quorum_bps": 5_001}, {"quorum_bps": 99}, {"timelock_seconds": 3_599},
                                    {"voting_seconds": DAY - 1}, {"expiry_seconds": 31 * DAY},
                                    {"least_weight": 10_000_001 * HYPER}])  # fmt: skip
def test_no_vote_makes_votes_that_cannot_pass_or_cannot_be_seen(network, change):
    voters = Voters(network, MILLION)
    call = network.world.instruction("governance", "set_parameters", parameters=VOTING | change)
    proposal = voters.queued("StakingParameter", call)
    network.world.wait(DAY)
    with refuses(network.world, "BadParameters", "governance"):
        network.execute(proposal, call)


def test_titles_and_payloads_have_bounds(network):
    voters = Voters(network, MILLION)
    with refuses(network.world, "OutOfBounds", "governance"):
        network.propose(voters.proposer, voters.stake, title="x" * 101)
    with refuses(network.world, "MalformedArguments", "governance"):
        network.propose(voters.proposer, voters.stake, title=b"\xff\xfe")


def test_a_program_is_upgraded_by_vote_once_its_upgrade_authority_is_governances(network):
    world = network.world
    voters = Voters(network, MILLION)
    signer, program = world.named["governance.signer"], world.ids["nodes"]
    image = (IMAGES / "nodes.so").read_bytes()
    data, _ = Pubkey.find_program_address([bytes(program)], LOADER)
    handed = struct.pack("<IQB", 3, 0, 1) + bytes(signer) + image
    world.svm.set_account(data, Account(10**10, handed, LOADER))
    buffer, spill = world.key(), world.key()
    held = struct.pack("<IB", 1, 1) + bytes(signer) + image
    world.svm.set_account(buffer, Account(10**9, held, LOADER))
    metas = [AccountMeta(each, False, True) for each in (data, program, buffer, spill)]
    metas += [AccountMeta(each, False, False) for each in (sysvar.RENT, sysvar.CLOCK)]
    call = Instruction(LOADER, struct.pack("<I", 3), [*metas, AccountMeta(signer, True, False)])
    with refuses(world, "BadProgram", "governance"):
        authority = Instruction(LOADER, struct.pack("<I", 4), call.accounts)
        network.propose(voters.proposer, voters.stake, "ProgramUpgrade", authority, id=9)
    proposal = voters.queued("ProgramUpgrade", call, image=image)
    world.wait(DAY)
    # Its holder may have written to the buffer until it was handed over.
    written = held[:-1] + bytes([held[-1] ^ 1])
    world.svm.set_account(buffer, Account(10**9, written, LOADER))
    with refuses(world, "WrongAccounts", "governance"):
        network.execute(proposal, call)
    world.svm.set_account(buffer, Account(10**9, held, LOADER))
    network.execute(proposal, call)
    upgraded = world.svm.get_account(data)
    assert upgraded is not None
    assert int.from_bytes(upgraded.data[4:12], "little") == world.slot
    assert not world.exists(buffer)


def test_only_a_vote_changes_governance(network):
    world = network.world
    with refuses(world, "WrongOwner", "governance"):
        world.send("governance", "set_parameters", world.payer, signer=world.payer.pubkey(), parameters=VOTING)
