"""Cases: a report with a bond, judged by a panel, appealed to another, executed by anyone. Pure; times are
Unix seconds.

    report ──► waiting ── draw ──► voting (commit, reveal) ──┬─ fewer than 3 votes for, or more against: dismissed
                                                             └─ ≥ 3 for, and more than against: confirmed
    confirmed ── 7 days ──► executed          confirmed ── appeal (accused, within 7 days) ──► second round, panel of 7
    second round: upheld by most, or by fewer than 3 votes ──► upheld ──► executed;  otherwise overturned

The stake is frozen from the report to the end. A result is invalid only by proof, so the evidence's hash is part of the
report, and nobody is slashed for disagreeing with others.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from hypernode.governance import panels
from hypernode.governance.panels import FIRST_PANEL, SALT_BYTES, SECOND_PANEL, Ballot, Candidate, Seat
from hypernode.governance.parameters import SlashingRules
from hypernode.kernel.errors import (
    AlreadyCommitted,
    CaseStateWrong,
    InvalidInput,
    InvariantViolated,
    NotOnPanel,
    TooEarly,
    TooLate,
    WrongReveal,
)
from hypernode.kernel.money import share
from hypernode.kernel.times import moment, rfc3339

LEAST_VOTES: Final = 3
REWARD_BPS: Final = 1000
BURN_BPS: Final = 5000


class Kind(enum.StrEnum):
    """What a report says."""

    TIMEOUT = "timeout"
    OFFLINE = "offline"
    REPEATED_FAILURES = "repeated_failures"
    INVALID_RESULT = "invalid_result"
    FORGERY = "forgery"


class State(enum.StrEnum):
    """Where a case is."""

    WAITING = "waiting"
    VOTING = "voting"
    CONFIRMED = "confirmed"
    UPHELD = "upheld"
    DISMISSED = "dismissed"
    OVERTURNED = "overturned"
    EXECUTED = "executed"

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self in (State.DISMISSED, State.OVERTURNED, State.EXECUTED)


class Phase(enum.StrEnum):
    """What a vote is at, by the clock."""

    COMMIT = "commit"
    REVEAL = "reveal"
    OVER = "over"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One report and what became of it. `first` are the owners of the first panel, who may not sit on the second;
    `bond` is what is still held of it."""

    id: UUID
    reporter: UUID
    stake: UUID
    accused: UUID
    kind: Kind
    evidence: str
    """SHA-256 of the evidence, in hex."""
    bps: int
    bond: int
    rules: SlashingRules
    reported_at: int
    reported_height: int
    state: State = State.WAITING
    round: int = 1
    drawn_at: int | None = None
    drawn_height: int = 0
    height_hash: str = ""
    """Hash of the height the round was drawn at, in hex: with it anyone can draw the panel again."""
    confirmed_at: int | None = None
    panel: tuple[Seat, ...] = ()
    first: tuple[UUID, ...] = ()

    @property
    def commit_ends_at(self) -> int | None:
        """When the time to commit to a vote ends."""
        return None if self.drawn_at is None else self.drawn_at + self.rules.commit_seconds

    @property
    def reveal_ends_at(self) -> int | None:
        """When the time to reveal votes ends."""
        return None if self.commit_ends_at is None else self.commit_ends_at + self.rules.reveal_seconds

    @property
    def appeal_ends_at(self) -> int | None:
        """When the time to appeal ends, once the report was confirmed."""
        return None if self.confirmed_at is None else self.confirmed_at + self.rules.appeal_seconds

    @property
    def next_at(self) -> int | None:
        """From when on `advance` would bring the case further; None when it has ended."""
        match self.state:
            case State.WAITING | State.UPHELD:
                return 0
            case State.VOTING:
                return self.reveal_ends_at
            case State.CONFIRMED:
                return (self.appeal_ends_at or 0) + 1
            case _:
                return None


class Proceeds(msgspec.Struct, frozen=True):
    """Where what was slashed goes. The parts sum to it."""

    reward: int
    burned: int
    treasury: int


def bps_of(kind: Kind, rules: SlashingRules) -> int:
    """What a kind of report takes of a stake."""
    return {
        Kind.TIMEOUT: rules.timeout_bps,
        Kind.OFFLINE: rules.offline_bps,
        Kind.REPEATED_FAILURES: rules.repeated_failures_bps,
        Kind.INVALID_RESULT: rules.invalid_result_bps,
        Kind.FORGERY: rules.forgery_bps,
    }[kind]


def may_judge(case: Case, owner: UUID) -> bool:
    """Whether an owner is impartial: neither side, and not of the first panel when a second is drawn."""
    return owner not in (case.accused, case.reporter) and owner not in case.first


def draw(case: Case, candidates: Iterable[Candidate], height: int, height_hash: bytes, now: int) -> Case:
    """Draw the round's panel from the candidates that may judge. Raises CaseStateWrong."""
    _require(case, State.WAITING)
    seed = panels.seed_of(case.id.bytes, height_hash, case.round)
    size = FIRST_PANEL if case.round == 1 else SECOND_PANEL
    panel = panels.draw([one for one in candidates if may_judge(case, one.owner)], seed, size)
    return replace(
        case, state=State.VOTING, drawn_at=now, drawn_height=height, height_hash=height_hash.hex(), panel=panel
    )


def phase(case: Case, now: int) -> Phase:
    """What a vote is at. Raises CaseStateWrong."""
    _require(case, State.VOTING)
    commit_ends_at, reveal_ends_at = case.commit_ends_at, case.reveal_ends_at
    if commit_ends_at is None or reveal_ends_at is None:
        raise InvariantViolated(f"case {case.id} is voted on, but was not drawn")
    return Phase.COMMIT if now < commit_ends_at else Phase.REVEAL if now < reveal_ends_at else Phase.OVER


def commit(case: Case, voter: UUID, commitment: str, now: int) -> Case:
    """A member of the panel commits to a vote, for good. Raises CaseStateWrong, TooLate, NotOnPanel,
    AlreadyCommitted."""
    if phase(case, now) is not Phase.COMMIT:
        raise TooLate("the time to commit to a vote is over")
    seat = _seat_of(case, voter)
    if seat.commitment is not None:
        raise AlreadyCommitted()
    return _with_seat(case, replace(seat, commitment=commitment))


def reveal(case: Case, voter: UUID, ballot: Ballot, salt: bytes, now: int) -> Case:
    """A member of the panel shows the vote it committed to. Raises CaseStateWrong, TooEarly, TooLate, NotOnPanel,
    WrongReveal."""
    at = phase(case, now)
    if at is Phase.COMMIT:
        end = case.commit_ends_at or 0
        raise TooEarly(
            f"votes are revealed from {rfc3339(moment(end))} on, so that nobody votes as others did",
            extra={"wait_s": end - now},
        )
    if at is Phase.OVER:
        raise TooLate("the time to reveal votes is over")
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"a salt has {SALT_BYTES} bytes")
    seat = _seat_of(case, voter)
    if seat.commitment is None:
        raise WrongReveal("nothing was committed to, so there is nothing to reveal")
    if seat.ballot is not None:
        raise WrongReveal("the vote was revealed before")
    if seat.commitment != panels.commitment(ballot, salt, case.id.bytes, case.round, voter.bytes):
        raise WrongReveal("this vote and salt are not what was committed to")
    return _with_seat(case, replace(seat, ballot=ballot))


def close_round(case: Case, now: int) -> Case:
    """Count the votes after the time to reveal. Raises CaseStateWrong, TooEarly."""
    if phase(case, now) is not Phase.OVER:
        end = case.reveal_ends_at or 0
        raise TooEarly(f"the panel votes until {rfc3339(moment(end))}", extra={"wait_s": end - now})
    votes_for, votes_against = count(case)
    carried = votes_for > votes_against
    if case.round == 1:
        if votes_for >= LEAST_VOTES and carried:
            first = tuple(seat.owner for seat in case.panel)
            return replace(case, state=State.CONFIRMED, confirmed_at=now, first=first)
        return replace(case, state=State.DISMISSED)
    upheld = carried or votes_for + votes_against < LEAST_VOTES
    return replace(case, state=State.UPHELD if upheld else State.OVERTURNED)


def count(case: Case) -> tuple[int, int]:
    """Votes for and against the report."""
    ballots = [seat.ballot for seat in case.panel]
    return ballots.count(Ballot.FOR), ballots.count(Ballot.AGAINST)


def appeal(case: Case, now: int) -> Case:
    """The accused asks for a second panel, once. Raises CaseStateWrong, TooLate."""
    _require(case, State.CONFIRMED)
    if now > (case.appeal_ends_at or 0):
        raise TooLate("the time to appeal is over")
    return replace(case, state=State.WAITING, round=2, panel=(), drawn_at=None)


def execute(case: Case, now: int) -> Case:
    """What was confirmed and not appealed in time, or upheld, is carried out. Raises CaseStateWrong, TooEarly."""
    if case.state is not State.UPHELD:
        _require(case, State.CONFIRMED)
        end = case.appeal_ends_at or 0
        if now <= end:
            raise TooEarly(f"the accused may appeal until {rfc3339(moment(end))}", extra={"wait_s": end - now + 1})
    return replace(case, state=State.EXECUTED)


def without_bond(case: Case) -> Case:
    """The case once its bond was paid out."""
    return replace(case, bond=0)


def proceeds_of(amount: int) -> Proceeds:
    """Half is burned, the reporter gets a tenth, the treasury the remainder."""
    reward, burned = share(amount, REWARD_BPS), share(amount, BURN_BPS)
    return Proceeds(reward, burned, amount - reward - burned)


def _require(case: Case, state: State) -> None:
    if case.state is not state:
        raise CaseStateWrong(f"the case is {case.state}, not {state}")


def _seat_of(case: Case, voter: UUID) -> Seat:
    for seat in case.panel:
        if seat.owner == voter:
            return seat
    raise NotOnPanel()


def _with_seat(case: Case, changed: Seat) -> Case:
    return replace(case, panel=tuple(changed if seat.owner == changed.owner else seat for seat in case.panel))
