"""Proposals: voted by stake, executed by anyone

Made by `make programs` from `programs/governance/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record

Kind = Literal["MarketParameter", "StakingParameter", "TreasurySpend", "ProgramUpgrade", "Text"]
ProposalState = Literal["Draft", "Active", "Defeated", "Queued", "Executed", "Expired", "Cancelled"]
Choice = Literal["For", "Against", "Abstain"]


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What governance may change of itself, within bounds: µHYPER of weight to propose, seconds, and basis points."""

    least_weight: int
    voting_seconds: int
    timelock_seconds: int
    expiry_seconds: int
    quorum_bps: int
    padding: bytes = bytes(2)


class Config(Record, frozen=True, kw_only=True):
    """Where weights are, and whose parameters a vote may change."""

    of: ClassVar[Name] = "governance"

    signer: str
    staking: str
    staking_pool: str
    markets: str
    programs: list[str]
    parameters: Parameters
    program_count: int
    signer_bump: int
    padding: bytes = bytes(6)


class Authority(Record, frozen=True, kw_only=True):
    """The address that holds the treasury, the parameters and the upgrade authority."""

    of: ClassVar[Name] = "governance"

    program: str


class Proposal(Record, frozen=True, kw_only=True):
    """A proposal, for ever, so that an id never means two things."""

    of: ClassVar[Name] = "governance"

    proposer: str
    program: str
    accounts: bytes
    id: int
    created_at: int
    activated_at: int
    activated_slot: int
    queued_at: int
    total_weight: int
    votes_for: int
    votes_against: int
    votes_abstain: int
    parameters: Parameters
    payload: bytes
    title: bytes
    payload_length: int
    title_length: int
    kind: Kind
    state: ProposalState
    bump: int
    padding: bytes = bytes(6)


class Vote(Record, frozen=True, kw_only=True):
    """One stake's vote."""

    of: ClassVar[Name] = "governance"

    proposal: str
    stake: str
    voter: str
    weight: int
    choice: Choice
    padding: bytes = bytes(7)


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    proposal: str
    proposer: str
    kind: Kind


class Voted(msgspec.Struct, frozen=True, kw_only=True):
    proposal: str
    stake: str
    weight: int
    choice: Choice


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    proposal: str
    state: ProposalState


def initialize(
    *, staking: Key, staking_pool: Key, markets: Key, programs: list[Key], program_count: int, parameters: Parameters,
) -> Call:
    """Sets the program up. `programs` are those whose parameters a staking-parameter vote may change."""
    return Call("governance", "initialize", {
        "staking": staking, "staking_pool": staking_pool, "markets": markets, "programs": programs,
        "program_count": program_count, "parameters": parameters,
    })


def set_parameters(*, parameters: Parameters) -> Call:
    """Changes the parameters for later proposals; only a vote can."""
    return Call("governance", "set_parameters", {"parameters": parameters})


def propose(*, id: int, kind: Kind, program: Key, accounts_hash: bytes, title: str, payload: bytes) -> Call:
    """Drafts a proposal. `accounts` is the sha256 of the accounts it is to be executed with, each key and one byte:
    1 signs, 2 is written; of an upgrade, followed by all bytes of the image in the buffer.
    """
    return Call("governance", "propose", {
        "id": id, "kind": kind, "program": program, "accounts_hash": accounts_hash, "title": title, "payload": payload,
    })


def activate() -> Call:
    """Opens the vote, and keeps the total weight and the slot."""
    return Call("governance", "activate", {})


def cancel() -> Call:
    """Takes a proposal back before its vote has ended."""
    return Call("governance", "cancel", {})


def vote(*, choice: Choice) -> Call:
    """Votes with a stake, by the weight it had before the vote was opened."""
    return Call("governance", "vote", {"choice": choice})


def finalize() -> Call:
    """Counts the votes once the time to vote is over."""
    return Call("governance", "finalize", {})


def execute() -> Call:
    """Does what was voted, after the timelock and before it expires.
    Further accounts: those whose hash the proposal has
    """
    return Call("governance", "execute", {})


def expire() -> Call:
    """Marks a proposal that was not executed in time."""
    return Call("governance", "expire", {})


def close_vote() -> Call:
    """Closes a vote's record once the vote has ended; its rent goes to the voter."""
    return Call("governance", "close_vote", {})
