"""Cases, as they are asked for and shown."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from hypernode.governance import slashing
from hypernode.governance.panels import Ballot
from hypernode.governance.slashing import Case, Phase
from hypernode.governance.views.fields import NodeKey, Sha256, time_of
from hypernode.kernel.times import moment, rfc3339


class CaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A report: of a stake, or of the heaviest stake of whoever owns a node."""

    kind: slashing.Kind
    evidence: Sha256
    """SHA-256 of the evidence, which the panel is shown elsewhere."""
    stake: UUID | None = None
    node: NodeKey | None = None


class CommitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vote, hidden: sha256(1 for the report, else 0 ‖ 32 bytes of salt ‖ case ‖ round ‖ project), ids as 16 bytes."""

    commitment: Sha256


class RevealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The vote that was committed to, and its salt in hex."""

    ballot: Ballot
    salt: Sha256


class SeatView(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a panel."""

    project_id: str
    ticket: str
    """What drew it: 64 bits, which not every JSON number can hold."""
    committed: bool
    ballot: Ballot | None


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A case. With `height_hash`, the case's id and the round anyone can draw the panel again. `role` is the
    project's."""

    id: str
    kind: slashing.Kind
    evidence: str
    stake: str
    accused: str
    reporter: str
    role: Literal["reporter", "accused", "judge"] | None
    state: slashing.State
    phase: Phase | None
    """What a vote is at; null while there is none."""
    round: int
    bps: int
    bond: int
    """What is still held of the bond."""
    reported_at: str
    commit_ends_at: str | None
    reveal_ends_at: str | None
    appeal_ends_at: str | None
    drawn_height: int
    height_hash: str
    votes_for: int
    votes_against: int
    panel: list[SeatView]


class CasePage(msgspec.Struct, frozen=True):
    """Cases, newest first; `next` continues after them."""

    items: list[CaseView]
    next: str | None


def case_view(case: Case, project_id: UUID | None, now: int) -> CaseView:
    """A case as a project is shown it."""
    judges = {seat.owner for seat in case.panel}
    role: Literal["reporter", "accused", "judge"] | None = (
        "reporter"
        if project_id == case.reporter
        else "accused"
        if project_id == case.accused
        else "judge"
        if project_id in judges
        else None
    )
    votes_for, votes_against = slashing.count(case)
    return CaseView(
        id=str(case.id),
        kind=case.kind,
        evidence=case.evidence,
        stake=str(case.stake),
        accused=str(case.accused),
        reporter=str(case.reporter),
        role=role,
        state=case.state,
        phase=slashing.phase(case, now) if case.state is slashing.State.VOTING else None,
        round=case.round,
        bps=case.bps,
        bond=case.bond,
        reported_at=rfc3339(moment(case.reported_at)),
        commit_ends_at=time_of(case.commit_ends_at),
        reveal_ends_at=time_of(case.reveal_ends_at),
        appeal_ends_at=time_of(case.appeal_ends_at),
        drawn_height=case.drawn_height,
        height_hash=case.height_hash,
        votes_for=votes_for,
        votes_against=votes_against,
        panel=[
            SeatView(
                project_id=str(seat.owner),
                ticket=str(seat.ticket),
                committed=seat.commitment is not None,
                ballot=seat.ballot,
            )
            for seat in case.panel
        ],
    )
