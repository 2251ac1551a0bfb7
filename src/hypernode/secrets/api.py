"""HTTP for secrets: set, list, delete. There is no way to read one back."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, SkipValidation

from hypernode.httpapi import Decoded, Project, problems
from hypernode.kernel import limits
from hypernode.secrets.model import NAME_PATTERN, SecretList, SecretRequest, SecretView
from hypernode.secrets.service import Secrets

Keeper: TypeAlias = NamedDependency[SkipValidation[Secrets]]
SecretName: TypeAlias = Annotated[
    str, PathParameter(min_length=1, max_length=63, pattern=NAME_PATTERN, description="As jobs name it.")
]
BODY_BYTES: Final = 64 * limits.KIB


class SecretController(Controller):
    """Secrets."""

    path = "/secrets"
    tags = ["secrets"]  # noqa: RUF012  as Litestar declares it

    @get(
        summary="Secrets of the project",
        description="What they are for; what they hold is never shown.",
        responses=problems(),
    )
    async def list_secrets(self, project: Project, secrets: Keeper) -> SecretList:
        """All secrets of the project, by name."""
        return await secrets.all(project.project_id)

    @put(
        "/{name:str}",
        summary="Set a secret",
        description="Keeps it encrypted, in place of what the name held before. Jobs that are leased from now on get "
        "the new one. The operator of a node that pulls an image with it can read it: use tokens that only allow "
        "pulling and end soon.",
        dto=Decoded[SecretRequest],
        return_dto=None,
        request_max_body_size=BODY_BYTES,
        responses=problems(
            s409=f"The project has {limits.SECRETS_PER_PROJECT} secrets.",
            s413="The body is too large.",
            s422="The request has errors.",
        ),
    )
    async def put_secret(
        self, name: SecretName, data: JSONBody[SecretRequest], project: Project, secrets: Keeper
    ) -> SecretView:
        """Set a secret."""
        return await secrets.put(project.project_id, name, data)

    @delete(
        "/{name:str}",
        summary="Delete a secret",
        description="Tasks that need it and are leased later fail with `secret.unknown`.",
        responses=problems(s404="The project has no such secret."),
    )
    async def delete_secret(self, name: SecretName, project: Project, secrets: Keeper) -> None:
        """Delete a secret."""
        await secrets.delete(project.project_id, name)
