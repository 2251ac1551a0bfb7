"""Reports of misbehaviour, panels that judge them, and what is slashed

Made by `make programs` from `programs/slashing/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record

Kind = Literal["Timeout", "Offline", "RepeatedFailures", "InvalidResult", "Forgery"]
CaseState = Literal["Waiting", "Voting", "Confirmed", "Upheld", "Dismissed", "Overturned", "Executed"]
Ballot = Literal["None", "For", "Against"]


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What governance may change, within bounds: µHYPER of bond and of a validator's stake, seconds, and basis
    points for each kind.
    """

    bond: int
    validator_amount: int
    draw_seconds: int
    commit_seconds: int
    reveal_seconds: int
    appeal_seconds: int
    bps: list[int]
    padding: bytes = bytes(6)


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A place on a panel: whose it is, the node that speaks, the ticket that drew it, what it committed to and
    voted.
    """

    owner: str
    node: str
    ticket: int
    commitment: bytes
    ballot: Ballot
    padding: bytes = bytes(7)


class Config(Record, frozen=True, kw_only=True):
    """Where stakes, nodes and proceeds are."""

    of: ClassVar[Name] = "slashing"

    authority: str
    signer: str
    mint: str
    vault: str
    staking: str
    staking_pool: str
    nodes: str
    collection: str
    treasury: str
    parameters: Parameters
    signer_bump: int
    padding: bytes = bytes(7)


class Authority(Record, frozen=True, kw_only=True):
    """The address that may freeze and slash; it holds nothing but its place."""

    of: ClassVar[Name] = "slashing"

    program: str


class Case(Record, frozen=True, kw_only=True):
    """One report and what became of it. `first` are the owners of the first panel, who may not sit on the second."""

    of: ClassVar[Name] = "slashing"

    reporter: str
    stake: str
    accused: str
    evidence: bytes
    seed: bytes
    id: int
    bond: int
    reported_slot: int
    seed_slot: int
    reported_at: int
    drawn_at: int
    confirmed_at: int
    parameters: Parameters
    panel: list[Seat]
    first: list[str]
    bps: int
    kind: Kind
    state: CaseState
    round: int
    seats: int
    first_seats: int
    bump: int


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    case: str
    stake: str
    evidence: bytes
    kind: Kind


class RoundClosed(msgspec.Struct, frozen=True, kw_only=True):
    case: str
    votes_for: int
    votes_against: int
    state: CaseState


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    case: str
    stake: str
    proceeds: int
    burned: int
    reward: int
    treasury: int


def initialize(*, authority: Key, staking: Key, staking_pool: Key, nodes: Key, parameters: Parameters) -> Call:
    """Sets the program up."""
    return Call("slashing", "initialize", {
        "authority": authority, "staking": staking, "staking_pool": staking_pool, "nodes": nodes,
        "parameters": parameters,
    })


def set_parameters(*, parameters: Parameters) -> Call:
    """Changes the parameters for later reports, and where proceeds go."""
    return Call("slashing", "set_parameters", {"parameters": parameters})


def report(*, id: int, kind: Kind, evidence: bytes) -> Call:
    """Reports a stake's owner, with a bond; the stake is frozen until the case ends."""
    return Call("slashing", "report", {"id": id, "kind": kind, "evidence": evidence})


def draw() -> Call:
    """Writes the round's seed, the hash of the slot that was named, while the runtime knows it: for 512 slots."""
    return Call("slashing", "draw", {})


def nominate() -> Call:
    """Puts a validator on the panel if its ticket is low enough."""
    return Call("slashing", "nominate", {})


def commit(*, commitment: bytes) -> Call:
    """A member of the panel commits to a vote, by its owner's key or the key of the node it was named with."""
    return Call("slashing", "commit", {"commitment": commitment})


def reveal(*, for_report: bool, salt: bytes) -> Call:
    """A member of the panel shows the vote it committed to."""
    return Call("slashing", "reveal", {"for_report": for_report, "salt": salt})


def close_round() -> Call:
    """Counts the votes after the time to reveal, or none when nobody drew in time; a report not confirmed, or
    overturned, ends and its bond goes to the treasury.
    """
    return Call("slashing", "close_round", {})


def appeal() -> Call:
    """The accused asks for a second panel."""
    return Call("slashing", "appeal", {})


def execute() -> Call:
    """Slashes what was confirmed and not appealed in time, or upheld."""
    return Call("slashing", "execute", {})


def close_case() -> Call:
    """Closes a case that ended; its rent goes to the reporter."""
    return Call("slashing", "close_case", {})
