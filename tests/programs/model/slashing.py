"""Reports: made with a bond, judged by a panel that chance draws, appealed to another, executed."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from hypernode.kernel.money import BPS, MICRO_PER_HYPER
from programs.model.refusal import Refusal, require
from programs.model.staking import DAY_S, Stake, StakeState

FIRST_PANEL: Final = 10
SECOND_PANEL: Final = 7
LEAST_VOTES: Final = 3
GOOD_STANDING: Final = 500
SEED_DELAY: Final = 16
KNOWN_HEIGHTS: Final = 512
REWARD_BPS: Final = 1_000
BURN_BPS: Final = 5_000


class Kind(StrEnum):
    """What somebody is reported for, in the order of the programs' IDL."""

    TIMEOUT = "Timeout"
    OFFLINE = "Offline"
    REPEATED_FAILURES = "RepeatedFailures"
    INVALID_RESULT = "InvalidResult"
    FORGERY = "Forgery"


class Parameters(msgspec.Struct, frozen=True):
    """What governance may change, within bounds no vote can cross."""

    bond: int = 100 * MICRO_PER_HYPER
    validator_amount: int = 10_000 * MICRO_PER_HYPER
    draw_s: int = DAY_S
    commit_s: int = DAY_S
    reveal_s: int = DAY_S
    appeal_s: int = 7 * DAY_S
    bps: tuple[int, int, int, int, int] = (100, 500, 1_000, 2_500, 5_000)

    def check(self) -> None:
        """Raise Refusal outside the hard bounds."""
        phases = (self.draw_s, self.commit_s, self.reveal_s)
        valid = (
            MICRO_PER_HYPER <= self.bond <= 100_000 * MICRO_PER_HYPER
            and 100 * MICRO_PER_HYPER <= self.validator_amount <= 1_000_000 * MICRO_PER_HYPER
            and all(3_600 <= phase <= 7 * DAY_S for phase in phases)
            and DAY_S <= self.appeal_s <= 30 * DAY_S
            and all(0 < bps <= 5_000 for bps in self.bps)
        )
        require(valid, "BadParameters")


class CaseState(StrEnum):
    """Where a case is; the last three are ends."""

    WAITING = "Waiting"
    VOTING = "Voting"
    CONFIRMED = "Confirmed"
    UPHELD = "Upheld"
    DISMISSED = "Dismissed"
    OVERTURNED = "Overturned"
    EXECUTED = "Executed"


class Phase(StrEnum):
    """What a round is at, by the clock."""

    DRAW = "draw"
    COMMIT = "commit"
    REVEAL = "reveal"
    OVER = "over"


class Seat(msgspec.Struct, frozen=True):
    """A place on a panel; `vote` is None until it is shown."""

    owner: bytes
    node: bytes
    ticket: int
    commitment: bytes | None = None
    vote: bool | None = None


class Case(msgspec.Struct, frozen=True):
    """One report. `first` are the owners of the first panel, who may not sit on the second."""

    id: bytes
    reporter: bytes
    accused: bytes
    kind: Kind
    parameters: Parameters
    bond: int
    reported_height: int
    seed_height: int
    """The height whose hash seeds the round; it is known for 512 heights, and the round is drawn then or not at all."""
    state: CaseState = CaseState.WAITING
    round: int = 1
    seed: bytes = b""
    drawn_at: int = 0
    confirmed_at: int = 0
    panel: tuple[Seat, ...] = ()
    first: tuple[bytes, ...] = ()

    @property
    def bps(self) -> int:
        """Basis points of the stake that a finding takes."""
        return self.parameters.bps[list(Kind).index(self.kind)]


class Validator(msgspec.Struct, frozen=True):
    """Who might judge: a stake and a node of the same owner. `stake_id` is what draws the ticket."""

    owner: bytes
    node: bytes
    stake_id: bytes
    stake: Stake
    score: int
    active: bool
    registered_height: int


class Proceeds(msgspec.Struct, frozen=True):
    """Where slashed µHYPER go; they sum to what was slashed."""

    reward: int
    burned: int
    treasury: int


def draw(case: Case, chance: bytes, now: int, height: int) -> Case:
    """Open a round with the seed that `chance` gives, 32 bytes nobody could know when it was asked for. Raises
    Refusal."""
    require(case.state == CaseState.WAITING, "WrongState")
    require(height <= case.seed_height + KNOWN_HEIGHTS, "TooLate")
    require(height > case.seed_height, "TooEarly")
    seed = hashlib.sha256(case.id + chance + bytes([case.round])).digest()
    return replace(case, seed=seed, drawn_at=now, state=CaseState.VOTING)


def require_phase(case: Case, phase: Phase, now: int) -> None:
    """Raise Refusal unless the round is at this phase."""
    require(case.state == CaseState.VOTING, "WrongState")
    drawn = case.drawn_at + case.parameters.draw_s
    committed = drawn + case.parameters.commit_s
    revealed = committed + case.parameters.reveal_s
    begin, end = {
        Phase.DRAW: (case.drawn_at, drawn),
        Phase.COMMIT: (drawn, committed),
        Phase.REVEAL: (committed, revealed),
        Phase.OVER: (revealed, None),
    }[phase]
    require(now >= begin, "TooEarly")
    require(end is None or now < end, "TooLate")


def ticket_of(case: Case, stake_id: bytes) -> int:
    """The lower, the sooner on the panel: the first word of sha256(seed, stake)."""
    return int.from_bytes(hashlib.sha256(case.seed + stake_id).digest()[:8], "little")


def nominate(case: Case, validator: Validator, now: int) -> Case:
    """Put a validator on the panel if its ticket is low enough. Raises Refusal.

    Whoever names whom in whatever order, the panel comes out as the lowest tickets, one an owner.
    """
    require_phase(case, Phase.DRAW, now)
    stake = validator.stake
    valid = (
        stake.state == StakeState.ACTIVE
        and stake.amount >= case.parameters.validator_amount
        and validator.score >= GOOD_STANDING
        and validator.active
    )
    require(valid, "NoValidator")
    older = max(stake.weight_height, validator.registered_height) < case.reported_height
    require(older, "TooNew")
    barred = {case.accused, case.reporter} | (set(case.first) if case.round == 2 else set())
    require(validator.owner not in barred, "Partial")
    return _seat(case, Seat(validator.owner, validator.node, ticket_of(case, validator.stake_id)))


def _seat(case: Case, seat: Seat) -> Case:
    size = FIRST_PANEL if case.round == 1 else SECOND_PANEL
    own = [index for index, each in enumerate(case.panel) if each.owner == seat.owner]
    if own:
        place = own[0]
    elif len(case.panel) < size:
        return replace(case, panel=(*case.panel, seat))
    else:
        place = max(range(size), key=lambda index: case.panel[index].ticket)
    require(seat.ticket < case.panel[place].ticket, "NotDrawn")
    return replace(case, panel=(*case.panel[:place], seat, *case.panel[place + 1 :]))


def commitment_of(case: Case, node: bytes, vote: bool, salt: bytes) -> bytes:
    """What a member of the panel commits to."""
    return hashlib.sha256(bytes([vote]) + salt + case.id + bytes([case.round]) + node).digest()


def commit(case: Case, node: bytes, commitment: bytes, now: int) -> Case:
    """A member of the panel commits to a vote. Raises Refusal."""
    require_phase(case, Phase.COMMIT, now)
    seat = _seat_of(case, node)
    require(seat.commitment is None, "AlreadyCommitted")
    return _replaced(case, replace(seat, commitment=commitment))


def reveal(case: Case, node: bytes, vote: bool, salt: bytes, now: int) -> Case:
    """A member of the panel shows the vote it committed to. Raises Refusal."""
    require_phase(case, Phase.REVEAL, now)
    seat = _seat_of(case, node)
    require(seat.vote is None and seat.commitment == commitment_of(case, node, vote, salt), "WrongReveal")
    return _replaced(case, replace(seat, vote=vote))


def _seat_of(case: Case, key: bytes) -> Seat:
    for seat in case.panel:
        if key in (seat.node, seat.owner):
            return seat
    raise Refusal("NotOnPanel")


def _replaced(case: Case, seat: Seat) -> Case:
    return replace(case, panel=tuple(seat if each.node == seat.node else each for each in case.panel))


def close_round(case: Case, now: int, height: int) -> Case:
    """Count the votes, of which there are none if nobody drew. Raises Refusal before the time to reveal, or to draw, is
    over.

    The first round confirms by at least three votes and more than there are against. The second overturns unless most
    of at least three votes confirm again; with fewer votes, what the first panel found stands.
    """
    if case.state == CaseState.WAITING:
        require(height > case.seed_height + KNOWN_HEIGHTS, "TooEarly")
    else:
        require_phase(case, Phase.OVER, now)
    votes_for = sum(seat.vote is True for seat in case.panel)
    votes_against = sum(seat.vote is False for seat in case.panel)
    carried = votes_for > votes_against
    if case.round == 1 and votes_for >= LEAST_VOTES and carried:
        owners = tuple(seat.owner for seat in case.panel)
        return replace(case, state=CaseState.CONFIRMED, confirmed_at=now, first=owners)
    if case.round == 1:
        return replace(case, state=CaseState.DISMISSED)
    upheld = votes_for + votes_against < LEAST_VOTES or carried
    return replace(case, state=CaseState.UPHELD if upheld else CaseState.OVERTURNED)


def appeal(case: Case, now: int, height: int) -> Case:
    """The accused asks for a second panel, within the time counted from the confirmation. Raises Refusal."""
    require(case.state == CaseState.CONFIRMED, "WrongState")
    require(now <= case.confirmed_at + case.parameters.appeal_s, "TooLate")
    return replace(case, state=CaseState.WAITING, round=2, panel=(), seed_height=height + SEED_DELAY)


def execute(case: Case, now: int) -> Case:
    """What was confirmed and not appealed in time, or upheld, is to be slashed now. Raises Refusal."""
    if case.state == CaseState.CONFIRMED:
        require(now > case.confirmed_at + case.parameters.appeal_s, "TooEarly")
    else:
        require(case.state == CaseState.UPHELD, "WrongState")
    return replace(case, state=CaseState.EXECUTED)


def split(slashed: int) -> Proceeds:
    """Half is burned, a tenth goes to the reporter, the rest to the treasury."""
    reward, burned = slashed * REWARD_BPS // BPS, slashed * BURN_BPS // BPS
    return Proceeds(reward, burned, slashed - reward - burned)
