"""HTTP for money: a project's accounts and statement, and the receipts of its jobs."""

from __future__ import annotations

from typing import TypeAlias

from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from hypernode.httpapi import Cursor, JobId, Limit, Project, problems
from hypernode.kernel import limits
from hypernode.ledger.model import AccountView, ReceiptPage, StatementPage
from hypernode.ledger.service import Ledger

Money: TypeAlias = NamedDependency[SkipValidation[Ledger]]


@get("/account", summary="The project's money", tags=["ledger"], responses=problems())
async def account(project: Project, ledger: Money) -> AccountView:
    """What the project can spend, what is in escrow, what it spent and what its nodes earned."""
    return await ledger.view(project.project_id)


@get(
    "/account/statement",
    summary="Where the project's money went",
    tags=["ledger"],
    responses=problems(s422="The cursor is not one this service gave."),
)
async def statement(
    project: Project, ledger: Money, cursor: Cursor = None, limit: Limit = limits.PAGE_ITEMS_DEFAULT
) -> StatementPage:
    """Every movement of the project's two accounts, newest first, with the balance after it."""
    return await ledger.statement(project.project_id, cursor, limit)


@get(
    "/jobs/{job_id:uuid}/receipts",
    summary="Receipts of a job",
    description="Each can be verified offline with the public keys of node and coordinator.",
    tags=["jobs"],
    responses=problems(s404="The project has no such job.", s422="The cursor is not one this service gave."),
)
async def receipts(
    job_id: JobId, project: Project, ledger: Money, cursor: Cursor = None, limit: Limit = limits.PAGE_ITEMS_DEFAULT
) -> ReceiptPage:
    """Receipts of a job, by task and attempt."""
    return await ledger.receipts(project.project_id, job_id, cursor, limit)
