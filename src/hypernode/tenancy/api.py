"""HTTP: who am I."""

from __future__ import annotations

from litestar import get

from hypernode.httpapi import Project, problems
from hypernode.tenancy.model import WhoAmI


@get("/whoami", summary="The project of this API key", tags=["projects"], responses=problems())
async def whoami(project: Project) -> WhoAmI:
    """The project of this API key."""
    return WhoAmI(str(project.project_id), project.project, project.key_handle)
