"""HTTP for parameters and proposals."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import JSONBody, QueryParameter

from hypernode.governance.api.common import KEY, LARGE, WRONG, ProposalId, Room, idempotency_of, refusals
from hypernode.governance.proposals import State
from hypernode.governance.views.proposals import (
    ParameterList,
    ProposalPage,
    ProposalRequest,
    ProposalView,
    VoteRequest,
)
from hypernode.httpapi import Cursor, Decoded, IdempotencyKey, Limit, Project, problems
from hypernode.kernel import limits

UNKNOWN = "There is no such proposal."
STATE = "It is in another state, or it is not the time for it."
BODY_BYTES = 16 * limits.KIB


@get("/governance/parameters", summary="What votes may change", tags=["governance"], responses=problems())
async def parameters(project: Project, governance: Room) -> ParameterList:
    """Every parameter with its value, its default, and the bounds that no vote can cross."""
    return await governance.proposals.parameters()


class ProposalController(Controller):
    """Proposals."""

    path = "/governance/proposals"
    tags = ["governance"]  # noqa: RUF012  as Litestar declares it

    @get(summary="Proposals", responses=problems(s422="The cursor is not one this service gave."))
    async def list_proposals(
        self,
        project: Project,
        governance: Room,
        of_state: Annotated[
            State | None, QueryParameter(name="state", required=False, description="Only those in this state.")
        ] = None,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> ProposalPage:
        """All proposals, newest first."""
        return await governance.proposals.page(of_state, cursor, limit)

    @post(
        summary="Propose",
        description="By the weight of one stake. The vote opens at once, unless it is to stay a draft.",
        dto=Decoded[ProposalRequest],
        return_dto=None,
        request_max_body_size=BODY_BYTES,
        responses=refusals(
            s403="The stake has too little weight, or this network cannot carry out proposals of this kind.",
            s404="The project has no such stake, or there is no such project to pay.",
            s409="The project has too many open proposals.",
            s413=LARGE,
            s422=WRONG,
        ),
    )
    async def propose(
        self,
        data: JSONBody[ProposalRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> ProposalView:
        """Propose."""
        key = idempotency_of(idempotency_key, "proposal.propose", request=data)
        return await governance.proposals.propose(project.project_id, data, key)

    @get("/{proposal_id:uuid}", summary="One proposal", responses=problems(s404=UNKNOWN))
    async def get_proposal(self, proposal_id: ProposalId, project: Project, governance: Room) -> ProposalView:
        """One proposal, with the votes of the project's own stakes."""
        return await governance.proposals.view(project.project_id, proposal_id)

    @post(
        "/{proposal_id:uuid}/activate",
        summary="Open the vote on a draft",
        status_code=200,
        responses=refusals(s403="Only who proposed it may.", s404=UNKNOWN, s409=STATE, s422=KEY),
    )
    async def activate(
        self, proposal_id: ProposalId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> ProposalView:
        """Open the vote on a draft."""
        key = idempotency_of(idempotency_key, "proposal.activate", proposal_id)
        return await governance.proposals.activate(project.project_id, proposal_id, key)

    @post(
        "/{proposal_id:uuid}/cancel",
        summary="Take a proposal back",
        status_code=200,
        responses=refusals(s403="Only who proposed it may.", s404=UNKNOWN, s409=STATE, s422=KEY),
    )
    async def cancel_proposal(
        self, proposal_id: ProposalId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> ProposalView:
        """Take a proposal back before its vote has ended."""
        key = idempotency_of(idempotency_key, "proposal.cancel", proposal_id)
        return await governance.proposals.cancel(project.project_id, proposal_id, key)

    @post(
        "/{proposal_id:uuid}/votes",
        summary="Vote",
        description="With one stake, or with all of the project's that have not voted, by the weights they had before "
        "the vote began.",
        dto=Decoded[VoteRequest],
        return_dto=None,
        responses=refusals(
            s403="No stake of the project had weight.",
            s404="There is no such proposal, or the project has no such stake.",
            s409="The stakes have voted, or the vote is not open.",
            s413=LARGE,
            s422=WRONG,
        ),
    )
    async def vote(
        self,
        proposal_id: ProposalId,
        data: JSONBody[VoteRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> ProposalView:
        """Vote."""
        key = idempotency_of(idempotency_key, "proposal.vote", proposal_id, data)
        return await governance.proposals.vote(project.project_id, proposal_id, data.choice, data.stake, key)

    @post(
        "/{proposal_id:uuid}/finalize",
        summary="Count the votes, or let an old proposal expire",
        description="Anyone may; the coordinator does so by itself soon after the time.",
        status_code=200,
        responses=refusals(s404=UNKNOWN, s409=STATE, s422=KEY),
    )
    async def finalize(
        self, proposal_id: ProposalId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> ProposalView:
        """What time has decided."""
        key = idempotency_of(idempotency_key, "proposal.finalize", proposal_id)
        return await governance.proposals.finalize(proposal_id, project.project_id, key)

    @post(
        "/{proposal_id:uuid}/execute",
        summary="Carry out what was decided",
        description="Anyone may, after the timelock; the coordinator does so by itself. Where it cannot be carried out "
        "as "
        "things are, nothing happens and it can be tried again until it expires.",
        status_code=200,
        responses=refusals(
            s404=UNKNOWN,
            s409="It is not the time for it, or the fund does not hold enough.",
            s422="The parameters cannot be changed like this any more.",
        ),
    )
    async def execute(
        self, proposal_id: ProposalId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> ProposalView:
        """Carry out what was decided."""
        key = idempotency_of(idempotency_key, "proposal.execute", proposal_id)
        return await governance.proposals.execute(proposal_id, project.project_id, key)
