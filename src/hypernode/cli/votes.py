"""Votes of panels between committing and revealing: only this machine knows what they are."""

from __future__ import annotations

import secrets
from pathlib import Path
from uuid import UUID

import msgspec

from hypernode.client.config import config_path
from hypernode.files import write_private
from hypernode.governance import panels
from hypernode.governance.panels import SALT_BYTES, Ballot
from hypernode.governance.views.fields import Sha256
from hypernode.kernel.errors import Conflict


class Seat(msgspec.Struct, frozen=True):
    """Whose vote it is, and on which round of which case. Several projects may be used from one machine."""

    case_id: str
    round: int
    project_id: str


class KeptVote(msgspec.Struct, frozen=True):
    """A vote and what hides it, in hex."""

    ballot: Ballot
    salt: Sha256

    def commitment(self, seat: Seat) -> str:
        """What is committed to."""
        voter, case = UUID(seat.project_id).bytes, UUID(seat.case_id).bytes
        return panels.commitment(self.ballot, bytes.fromhex(self.salt), case, seat.round, voter)


def load(seat: Seat) -> KeptVote | None:
    """The vote kept for a seat. Raises Conflict for a file that cannot be read."""
    path = _path(seat)
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptVote)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Conflict(f"cannot read the vote kept in {path}: {error}") from error


def keep(seat: Seat, ballot: Ballot) -> KeptVote:
    """Keep a vote, before it is committed to."""
    kept = KeptVote(ballot, secrets.token_hex(SALT_BYTES))
    path = _path(seat)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, msgspec.json.encode(kept))
    return kept


def _path(seat: Seat) -> Path:
    # An id from elsewhere must not name another folder.
    return config_path().parent / "votes" / f"{UUID(seat.case_id)}.{seat.round}.{UUID(seat.project_id)}.json"
