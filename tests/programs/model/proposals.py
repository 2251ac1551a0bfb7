"""Proposals: voted by stake, carried out by anyone."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from hypernode.kernel.money import BPS, MICRO_PER_HYPER
from programs.model.refusal import require
from programs.model.staking import DAY_S, Pool, Stake, total_before, weight_before

TITLE_BYTES: Final = 100
PAYLOAD_BYTES: Final = 256


class Parameters(msgspec.Struct, frozen=True):
    """What governance may change of itself, within bounds no vote can cross."""

    least_weight: int = 1_000_000 * MICRO_PER_HYPER
    voting_s: int = 3 * DAY_S
    timelock_s: int = DAY_S
    expiry_s: int = 14 * DAY_S
    quorum_bps: int = 1_000

    def check(self) -> None:
        """Raise Refusal outside the hard bounds: a vote can be held, won, and looked at before it takes effect."""
        valid = (
            1_000 * MICRO_PER_HYPER <= self.least_weight <= 10_000_000 * MICRO_PER_HYPER
            and DAY_S <= self.voting_s <= 14 * DAY_S
            and 3_600 <= self.timelock_s <= 7 * DAY_S
            and self.timelock_s + DAY_S <= self.expiry_s <= 30 * DAY_S
            and 100 <= self.quorum_bps <= 5_000
        )
        require(valid, "BadParameters")


class ProposalState(StrEnum):
    """Where a proposal is."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    DEFEATED = "Defeated"
    QUEUED = "Queued"
    EXECUTED = "Executed"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


class Choice(StrEnum):
    """A vote. Abstaining counts towards the quorum."""

    FOR = "For"
    AGAINST = "Against"
    ABSTAIN = "Abstain"


class Proposal(msgspec.Struct, frozen=True):
    """A proposal and its votes, in µHYPER of weight."""

    parameters: Parameters
    state: ProposalState = ProposalState.DRAFT
    activated_at: int = 0
    activated_height: int = 0
    queued_at: int = 0
    total_weight: int = 0
    votes_for: int = 0
    votes_against: int = 0
    votes_abstain: int = 0

    @property
    def end_of_vote(self) -> int:
        """The first second after the vote."""
        return self.activated_at + self.parameters.voting_s

    @property
    def end_of_queue(self) -> int:
        """The first second in which it can only expire."""
        return self.queued_at + self.parameters.expiry_s


def propose(parameters: Parameters, stake: Stake) -> Proposal:
    """Draft a proposal by the weight of the proposer's stake. Raises Refusal."""
    require(stake.weight >= parameters.least_weight, "WeightTooLow")
    return Proposal(parameters)


def activate(proposal: Proposal, parameters: Parameters, pool: Pool, now: int, height: int) -> Proposal:
    """Open the vote by the parameters of now, and keep the height, which is the one of now, and the total weight before
    it. Raises Refusal."""
    require(proposal.state == ProposalState.DRAFT, "WrongState")
    total_weight = total_before(pool, height)
    require(total_weight > 0, "NobodyStakes")
    return replace(
        proposal, state=ProposalState.ACTIVE, parameters=parameters, activated_at=now, activated_height=height,
        total_weight=total_weight,
    )  # fmt: skip


def cancel(proposal: Proposal, now: int) -> Proposal:
    """Take it back; a vote that has ended is the voters'. Raises Refusal."""
    require(proposal.state in (ProposalState.DRAFT, ProposalState.ACTIVE), "WrongState")
    require(proposal.state == ProposalState.DRAFT or now < proposal.end_of_vote, "TooLate")
    return replace(proposal, state=ProposalState.CANCELLED)


def vote(proposal: Proposal, stake: Stake, choice: Choice, now: int) -> tuple[Proposal, int]:
    """Vote with a stake that has not voted, by its weight before the vote was opened. Returns it. Raises Refusal."""
    require(proposal.state == ProposalState.ACTIVE, "WrongState")
    require(now < proposal.end_of_vote, "TooLate")
    weight = weight_before(stake, proposal.activated_height)
    require(weight > 0, "NoWeight")
    match choice:
        case Choice.FOR:
            return replace(proposal, votes_for=proposal.votes_for + weight), weight
        case Choice.AGAINST:
            return replace(proposal, votes_against=proposal.votes_against + weight), weight
        case Choice.ABSTAIN:
            return replace(proposal, votes_abstain=proposal.votes_abstain + weight), weight


def finalize(proposal: Proposal, now: int) -> Proposal:
    """Count the votes once the time is over: queued with the quorum and more for than against. Raises Refusal."""
    require(proposal.state == ProposalState.ACTIVE, "WrongState")
    require(now >= proposal.end_of_vote, "TooEarly")
    votes = proposal.votes_for + proposal.votes_against + proposal.votes_abstain
    reached = votes * BPS >= proposal.total_weight * proposal.parameters.quorum_bps
    if not reached or proposal.votes_for <= proposal.votes_against:
        return replace(proposal, state=ProposalState.DEFEATED)
    return replace(proposal, state=ProposalState.QUEUED, queued_at=now)


def execute(proposal: Proposal, now: int) -> Proposal:
    """Carry it out, after the timelock and before it expires. Raises Refusal."""
    require(proposal.state == ProposalState.QUEUED, "WrongState")
    require(now >= proposal.queued_at + proposal.parameters.timelock_s, "TooEarly")
    require(now < proposal.end_of_queue, "TooLate")
    return replace(proposal, state=ProposalState.EXECUTED)


def expire(proposal: Proposal, now: int) -> Proposal:
    """Mark what was not executed in time. Raises Refusal."""
    require(proposal.state == ProposalState.QUEUED, "WrongState")
    require(now >= proposal.end_of_queue, "TooEarly")
    return replace(proposal, state=ProposalState.EXPIRED)
