"""Parameters and proposals, as they are asked for and shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from hypernode.governance import proposals
from hypernode.governance.parameters import BOUNDS, Parameters, values
from hypernode.governance.proposals import Choice, Proposal
from hypernode.governance.views.fields import Title, time_of
from hypernode.kernel.money import BPS
from hypernode.kernel.times import moment, rfc3339


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that votes may change, between bounds that none can cross."""

    name: str
    value: int
    default: int
    lowest: int
    highest: int
    unit: str


class ParameterList(msgspec.Struct, frozen=True):
    """All parameters, by name."""

    items: list[ParameterView]


def parameter_list(parameters: Parameters) -> ParameterList:
    """All parameters as they are shown."""
    defaults = values(Parameters())
    return ParameterList(
        [
            ParameterView(
                name=name,
                value=value,
                default=defaults[name],
                lowest=BOUNDS[name].lowest,
                highest=BOUNDS[name].highest,
                unit=BOUNDS[name].unit,
            )
            for name, value in sorted(values(parameters).items())
        ]
    )


class ProposalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A proposal by the weight of one stake: the heaviest, if none is named. `payload` is `{"parameters": {name:
    value}}`, or `{"project_id", "amount", "fund"}` for a spend, or nothing for a text."""

    kind: proposals.Kind
    title: Title
    payload: dict[str, Any] | None = None
    stake: UUID | None = None
    draft: bool = False
    """Whether the vote waits until the proposer activates it."""


class VoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vote of one stake, or of all the project's stakes that have not voted."""

    choice: Choice
    stake: UUID | None = None


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """How one of the project's stakes voted."""

    stake: str
    weight: int
    choice: Choice


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `quorum` is the weight that must vote; `votes` are the project's own."""

    id: str
    proposer: str
    kind: proposals.Kind
    title: str
    payload: dict[str, Any] | None
    state: proposals.State
    votes_for: int
    votes_against: int
    votes_abstain: int
    quorum: int
    total_weight: int
    created_at: str
    vote_ends_at: str | None
    executable_at: str | None
    expires_at: str | None
    votes: list[VoteView] = []


class ProposalPage(msgspec.Struct, frozen=True):
    """Proposals, newest first; `next` continues after them."""

    items: list[ProposalView]
    next: str | None


def proposal_view(proposal: Proposal, proposer: str, votes: list[VoteView] | None = None) -> ProposalView:
    """A proposal as it is shown."""
    return ProposalView(
        id=str(proposal.id),
        proposer=proposer,
        kind=proposal.kind,
        title=proposal.title,
        payload=msgspec.json.decode(proposal.payload) if proposal.payload else None,
        state=proposal.state,
        votes_for=proposal.votes_for,
        votes_against=proposal.votes_against,
        votes_abstain=proposal.votes_abstain,
        quorum=-(-proposal.total_weight * proposal.rules.quorum_bps // BPS),
        total_weight=proposal.total_weight,
        created_at=rfc3339(moment(proposal.created_at)),
        vote_ends_at=time_of(proposal.vote_ends_at),
        executable_at=time_of(proposal.executable_at),
        expires_at=time_of(proposal.expires_at),
        votes=votes or [],
    )
