"""Panels: who is drawn to judge a case, and how votes stay secret until all are in. Pure, and anyone can draw again.

A round's seed is `sha256(case ‖ hash of the height it was drawn at ‖ round)`. A candidate's ticket is the first eight
bytes, as a little-endian number, of `sha256(seed ‖ stake)`; the panel is the owners with the lowest. An owner has one
seat, however many stakes; a ticket hangs on a stake of full size, so that more tickets cost as much as more stake.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

FIRST_PANEL: Final = 10
SECOND_PANEL: Final = 7
SALT_BYTES: Final = 32


class Ballot(enum.StrEnum):
    """What a member of a panel voted, about the report."""

    FOR = "for"
    AGAINST = "against"


class Candidate(msgspec.Struct, frozen=True):
    """A stake that may be drawn, and whose it is."""

    owner: UUID
    stake: UUID


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A place on a panel. `ticket` is what drew it; `commitment` is in hex."""

    owner: UUID
    stake: UUID
    ticket: int
    commitment: str | None = None
    ballot: Ballot | None = None


def seed_of(case: bytes, height_hash: bytes, round_number: int) -> bytes:
    """What a round's draw is made from."""
    return hashlib.sha256(case + height_hash + bytes([round_number])).digest()


def ticket_of(seed: bytes, stake: bytes) -> int:
    """A stake's ticket: 64 bits."""
    return int.from_bytes(hashlib.sha256(seed + stake).digest()[:8], "little")


def draw(candidates: Iterable[Candidate], seed: bytes, size: int) -> tuple[Seat, ...]:
    """The panel: the `size` owners with the lowest tickets, lowest first."""
    best: dict[UUID, Seat] = {}
    for one in candidates:
        seat = Seat(owner=one.owner, stake=one.stake, ticket=ticket_of(seed, one.stake.bytes))
        known = best.get(one.owner)
        if known is None or _order(seat) < _order(known):
            best[one.owner] = seat
    return tuple(sorted(best.values(), key=_order)[:size])


def _order(seat: Seat) -> tuple[int, bytes]:
    return seat.ticket, seat.stake.bytes


def commitment(ballot: Ballot, salt: bytes, case: bytes, round_number: int, voter: bytes) -> str:
    """What a vote is hidden behind until all have voted: sha256(1 for the report, else 0 ‖ salt ‖ case ‖ round ‖
    voter), in hex."""
    vote = bytes([ballot is Ballot.FOR])
    return hashlib.sha256(vote + salt + case + bytes([round_number]) + voter).hexdigest()
