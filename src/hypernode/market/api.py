"""HTTP for quotes."""

from __future__ import annotations

from typing import TypeAlias

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from hypernode.httpapi import DocumentBody, Project, problems
from hypernode.jobs.model import JobDocument
from hypernode.jobs.views import QuoteView
from hypernode.market.service import Market

Prices: TypeAlias = NamedDependency[SkipValidation[Market]]


@post(
    "/quotes",
    summary="What a job would cost",
    description="The worst-case price on every node that could run it, and why the others can't. Takes nothing.",
    tags=["jobs"],
    dto=DocumentBody,
    return_dto=None,
    status_code=200,
    responses=problems(
        s413="The document is too large.",
        s422="The document has errors; `errors` lists all of them with their paths.",
    ),
)
async def quote(data: JSONBody[JobDocument], project: Project, market: Prices) -> QuoteView:
    """What a job would cost."""
    return await market.quote(project.project_id, data)
