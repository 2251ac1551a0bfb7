"""HTTP for cases: reports of stakes, and the panels that judge them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import JSONBody, QueryParameter

from hypernode.governance.api.common import BROKE, KEY, LARGE, REPEATED, WRONG, CaseId, Room, idempotency_of, refusals
from hypernode.governance.slashing import State
from hypernode.governance.views.cases import CasePage, CaseRequest, CaseView, CommitRequest, RevealRequest
from hypernode.httpapi import Cursor, Decoded, IdempotencyKey, Limit, Project, problems
from hypernode.kernel import limits

UNKNOWN = "There is no such case."
STATE = "The case is in another state, or it is not the time for it."


class CaseController(Controller):
    """Cases."""

    path = "/governance/cases"
    tags = ["governance"]  # noqa: RUF012  as Litestar declares it

    @get(summary="Cases", responses=problems(s422="The cursor is not one this service gave."))
    async def list_cases(
        self,
        project: Project,
        governance: Room,
        of_state: Annotated[
            State | None, QueryParameter(name="state", required=False, description="Only those in this state.")
        ] = None,
        stake: Annotated[UUID | None, QueryParameter(required=False, description="Only those of this stake.")] = None,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> CasePage:
        """All cases, newest first."""
        return await governance.cases.page(project.project_id, of_state, stake, cursor, limit)

    @post(
        summary="Report a stake",
        description="With a bond, which is returned with a reward if the report is confirmed, and forfeited if not. "
        "The stake is frozen until the case ends.",
        dto=Decoded[CaseRequest],
        return_dto=None,
        responses=refusals(
            s402=BROKE,
            s404="There is no such stake, or no such node.",
            s409=f"The stake was withdrawn. {REPEATED}",
            s413=LARGE,
            s422=WRONG,
        ),
    )
    async def report(
        self,
        data: JSONBody[CaseRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> CaseView:
        """Report a stake."""
        key = idempotency_of(idempotency_key, "case.report", request=data)
        return await governance.cases.report(project.project_id, data, key)

    @get("/{case_id:uuid}", summary="One case", responses=problems(s404=UNKNOWN))
    async def get_case(self, case_id: CaseId, project: Project, governance: Room) -> CaseView:
        """One case."""
        return await governance.cases.view(project.project_id, case_id)

    @post(
        "/{case_id:uuid}/commit",
        summary="Commit to a vote",
        description="Members of the panel vote hidden first, and show their votes when all have had the time to.",
        dto=Decoded[CommitRequest],
        return_dto=None,
        status_code=200,
        responses=refusals(s403="The project is not on the panel.", s404=UNKNOWN, s409=STATE, s413=LARGE, s422=WRONG),
    )
    async def commit(
        self,
        case_id: CaseId,
        data: JSONBody[CommitRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> CaseView:
        """Commit to a vote."""
        key = idempotency_of(idempotency_key, "case.commit", case_id, data)
        return await governance.cases.commit(project.project_id, case_id, data.commitment, key)

    @post(
        "/{case_id:uuid}/reveal",
        summary="Show the vote that was committed to",
        dto=Decoded[RevealRequest],
        return_dto=None,
        status_code=200,
        responses=refusals(
            s403="The project is not on the panel, or committed to something else.",
            s404=UNKNOWN,
            s409=STATE,
            s413=LARGE,
            s422=WRONG,
        ),
    )
    async def reveal(
        self,
        case_id: CaseId,
        data: JSONBody[RevealRequest],
        project: Project,
        governance: Room,
        idempotency_key: IdempotencyKey = None,
    ) -> CaseView:
        """Show the vote that was committed to."""
        key = idempotency_of(idempotency_key, "case.reveal", case_id, data)
        return await governance.cases.reveal(project.project_id, case_id, data.ballot, bytes.fromhex(data.salt), key)

    @post(
        "/{case_id:uuid}/appeal",
        summary="Appeal to a fresh panel",
        status_code=200,
        responses=refusals(s403="Only the accused may.", s404=UNKNOWN, s409=STATE, s422=KEY),
    )
    async def appeal(
        self, case_id: CaseId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> CaseView:
        """Appeal to a fresh panel."""
        key = idempotency_of(idempotency_key, "case.appeal", case_id)
        return await governance.cases.appeal(project.project_id, case_id, key)

    @post(
        "/{case_id:uuid}/advance",
        summary="Bring a case further",
        description="Draws the panel, counts the votes, or carries the verdict out, whichever it is time for. Anyone "
        "may; "
        "the coordinator does so by itself.",
        status_code=200,
        responses=refusals(s404=UNKNOWN, s409=STATE, s422=KEY),
    )
    async def advance(
        self, case_id: CaseId, project: Project, governance: Room, idempotency_key: IdempotencyKey = None
    ) -> CaseView:
        """Bring a case further."""
        key = idempotency_of(idempotency_key, "case.advance", case_id)
        return await governance.cases.advance(case_id, project.project_id, key)
