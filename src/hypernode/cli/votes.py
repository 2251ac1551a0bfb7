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
from hypernode.kernel.errors import Conflict


class KeptVote(msgspec.Struct, frozen=True):
    """A vote and what hides it, in hex."""

    ballot: Ballot
    salt: str

    def commitment(self, case_id: str, round_number: int, project_id: str) -> str:
        """What is committed to."""
        voter, case = UUID(project_id).bytes, UUID(case_id).bytes
        return panels.commitment(self.ballot, bytes.fromhex(self.salt), case, round_number, voter)


def load(case_id: str, round_number: int) -> KeptVote | None:
    """The vote kept for a round of a case. Raises Conflict for a file that cannot be read."""
    path = _path(case_id, round_number)
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptVote)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Conflict(f"cannot read the vote kept in {path}: {error}") from error


def keep(case_id: str, round_number: int, ballot: Ballot) -> KeptVote:
    """Keep a vote, before it is committed to."""
    kept = KeptVote(ballot, secrets.token_hex(SALT_BYTES))
    path = _path(case_id, round_number)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, msgspec.json.encode(kept))
    return kept


def _path(case_id: str, round_number: int) -> Path:
    # An id from elsewhere must not name another folder.
    return config_path().parent / "votes" / f"{UUID(case_id)}.{round_number}.json"
