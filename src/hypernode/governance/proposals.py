"""Proposals: what stakers decide, anyone carries out. Pure; times are Unix seconds, weights µHYPER.

    draft ── activate ──► active (3 days) ── finalize ──► queued (1 day) ── execute (within 14 days) ──► executed
      └─ cancel (proposer) ─┴─► cancelled       └──► defeated     └── finalize (after 14 days) ──► expired

Anyone may finalize and execute.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from hypernode.governance.parameters import VotingRules
from hypernode.kernel import decode, limits
from hypernode.kernel.canonical import canonical
from hypernode.kernel.errors import (
    InvalidInput,
    NobodyStakes,
    NoWeight,
    ProposalKindUnavailable,
    ProposalStateWrong,
    TooEarly,
    TooLate,
    WeightTooLow,
)
from hypernode.kernel.money import BPS, show
from hypernode.kernel.times import moment, rfc3339

TITLE_BYTES: Final = 100
PAYLOAD_BYTES: Final = 256


class Kind(enum.StrEnum):
    """What a proposal does when it is executed."""

    MARKET_PARAMETER = "market_parameter"
    STAKING_PARAMETER = "staking_parameter"  # of staking, slashing and voting
    TREASURY_SPEND = "treasury_spend"
    PROGRAM_UPGRADE = "program_upgrade"  # exists on a chain only
    TEXT = "text"  # nothing


class State(enum.StrEnum):
    """Where a proposal is."""

    DRAFT = "draft"
    ACTIVE = "active"
    DEFEATED = "defeated"
    QUEUED = "queued"
    EXECUTED = "executed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Choice(enum.StrEnum):
    """A vote. `abstain` counts towards the quorum only."""

    FOR = "for"
    AGAINST = "against"
    ABSTAIN = "abstain"


class Fund(enum.StrEnum):
    """What a spend may be paid from."""

    TREASURY = "treasury"
    INCENTIVE = "incentive"


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a parameter's change."""

    parameters: Annotated[dict[str, int], Meta(min_length=1, max_length=16)]


class Spend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The payload of a spend: so much to a project."""

    project_id: UUID
    amount: Annotated[int, Meta(ge=1, le=limits.MICRO_HYPER, extra={"unit": "micro_hyper"})]
    fund: Fund = Fund.TREASURY


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `rules`, `total_weight` and `activated_height` are those of its activation; a draft has the rules it
    was made under."""

    id: UUID
    proposer: UUID
    kind: Kind
    title: str
    payload: bytes
    rules: VotingRules
    created_at: int
    state: State = State.DRAFT
    activated_at: int | None = None
    activated_height: int = 0
    total_weight: int = 0
    votes_for: int = 0
    votes_against: int = 0
    votes_abstain: int = 0
    queued_at: int | None = None

    @property
    def vote_ends_at(self) -> int | None:
        """When voting ends, once it has begun."""
        return None if self.activated_at is None else self.activated_at + self.rules.voting_seconds

    @property
    def executable_at(self) -> int | None:
        """When it may be executed, once it is queued."""
        return None if self.queued_at is None else self.queued_at + self.rules.timelock_seconds

    @property
    def expires_at(self) -> int | None:
        """From when on it may not be executed any more, once it is queued."""
        return None if self.queued_at is None else self.queued_at + self.rules.expiry_seconds


def check_title(title: str) -> None:
    """Raise ValueError for a title that a proposal on a chain could not have."""
    if not title.strip() or not title.isprintable():
        raise ValueError("a title has words, and no control characters")
    if len(title.encode(errors="replace")) > TITLE_BYTES:
        raise ValueError(f"a title has at most {TITLE_BYTES} bytes")


def read_payload(kind: Kind, payload: Any) -> Change | Spend | None:
    """What a proposal of this kind would do; None for a text. Raises InvalidInput, ProposalKindUnavailable."""
    match kind:
        case Kind.PROGRAM_UPGRADE:
            raise ProposalKindUnavailable("this ledger has no programs to upgrade; they exist on a chain only")
        case Kind.TEXT:
            if payload not in (None, {}):
                raise InvalidInput("a text does nothing, so it has no payload")
            return None
        case Kind.TREASURY_SPEND:
            return decode.from_plain(payload, Spend)
        case Kind.MARKET_PARAMETER | Kind.STAKING_PARAMETER:
            change = decode.from_plain(payload, Change)
            market = kind is Kind.MARKET_PARAMETER
            wrong = [name for name in change.parameters if name.startswith("market.") is not market]
            if wrong:
                other = Kind.STAKING_PARAMETER if market else Kind.MARKET_PARAMETER
                raise InvalidInput(f"{wrong[0]!r} is not a {kind}; propose it as {other}")
            return change


def encode_payload(effect: Change | Spend | None) -> bytes:
    """The canonical form that is kept. Raises InvalidInput when it is larger than a proposal may carry."""
    payload = b"" if effect is None else canonical(effect)
    if len(payload) > PAYLOAD_BYTES:
        raise InvalidInput(f"the payload has {len(payload)} bytes; a proposal carries {PAYLOAD_BYTES}: split it up")
    return payload


def effect_of(proposal: Proposal) -> Change | Spend | None:
    """What executing the proposal does."""
    return read_payload(proposal.kind, msgspec.json.decode(proposal.payload) if proposal.payload else None)


def require_weight(weight: int, rules: VotingRules) -> None:
    """Raise WeightTooLow unless a stake of this weight may propose."""
    if weight < rules.least_weight:
        raise WeightTooLow(f"one stake of {show(rules.least_weight)} of weight is needed; this one has {show(weight)}")


def activate(proposal: Proposal, rules: VotingRules, total_weight: int, height: int, now: int) -> Proposal:
    """Open the vote by the rules of now, keeping all weights as they were before this height. Raises
    ProposalStateWrong, NobodyStakes."""
    _require(proposal, State.DRAFT)
    if total_weight <= 0:
        raise NobodyStakes("nobody could vote")
    return replace(
        proposal,
        state=State.ACTIVE,
        rules=rules,
        activated_at=now,
        activated_height=height,
        total_weight=total_weight,
    )


def cancel(proposal: Proposal, now: int) -> Proposal:
    """Take it back. A vote that has ended is the voters' to carry out, not the proposer's to take back. Raises
    ProposalStateWrong, TooLate."""
    if proposal.state is not State.DRAFT:
        require_open(proposal, now)
    return replace(proposal, state=State.CANCELLED)


def vote(proposal: Proposal, weight: int, choice: Choice, now: int) -> Proposal:
    """Count one stake's vote. The caller sees to it that a stake votes once. Raises ProposalStateWrong, TooLate,
    NoWeight."""
    require_open(proposal, now)
    if weight <= 0:
        raise NoWeight("the stake had no weight before the vote began, or changed twice since")
    match choice:
        case Choice.FOR:
            return replace(proposal, votes_for=proposal.votes_for + weight)
        case Choice.AGAINST:
            return replace(proposal, votes_against=proposal.votes_against + weight)
        case Choice.ABSTAIN:
            return replace(proposal, votes_abstain=proposal.votes_abstain + weight)


def finalize(proposal: Proposal, now: int) -> Proposal:
    """What time has decided: the end of a vote, or of the time to execute. Raises ProposalStateWrong, TooEarly."""
    if proposal.state is State.QUEUED:
        _after(proposal.expires_at, now, "it may still be executed")
        return replace(proposal, state=State.EXPIRED)
    _require(proposal, State.ACTIVE)
    _after(proposal.vote_ends_at, now, "the vote is open")
    votes = proposal.votes_for + proposal.votes_against + proposal.votes_abstain
    reached = votes * BPS >= proposal.total_weight * proposal.rules.quorum_bps
    if not reached or proposal.votes_for <= proposal.votes_against:
        return replace(proposal, state=State.DEFEATED)
    return replace(proposal, state=State.QUEUED, queued_at=now)


def execute(proposal: Proposal, now: int) -> Proposal:
    """It is being carried out. Raises ProposalStateWrong, TooEarly, TooLate."""
    _require(proposal, State.QUEUED)
    _after(proposal.executable_at, now, "the timelock runs")
    if now >= (proposal.expires_at or 0):
        raise TooLate("the time to execute it is over")
    return replace(proposal, state=State.EXECUTED)


def require_open(proposal: Proposal, now: int) -> None:
    """Raise ProposalStateWrong or TooLate unless it is being voted on."""
    _require(proposal, State.ACTIVE)
    if now >= (proposal.vote_ends_at or 0):
        raise TooLate("the vote has ended")


def _require(proposal: Proposal, state: State) -> None:
    if proposal.state is not state:
        raise ProposalStateWrong(f"the proposal is {proposal.state}, not {state}")


def _after(at: int | None, now: int, meanwhile: str) -> None:
    if at is None or now < at:
        raise TooEarly(f"{meanwhile} until {rfc3339(moment(at or 0))}", extra={"wait_s": (at or 0) - now})
