"""Keeping secrets of projects: sealed in the database, opened for a registry and for the node that runs a job."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec

from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.kernel import limits
from hypernode.kernel.errors import Conflict, HypernodeError, NotFound, SecretMismatch, SecretUnknown
from hypernode.kernel.times import rfc3339
from hypernode.secrets.model import SecretList, SecretRequest, SecretView, registry_of
from hypernode.secrets.sealing import Login, Sealer
from hypernode.secrets.store import queries


class Wanted(msgspec.Struct, frozen=True):
    """A secret that a job names, and the registry that its image is in."""

    project_id: UUID
    name: str
    registry: str


class Secrets:
    """The secrets of projects."""

    def __init__(self, pool: Pool, hints: Hints, sealer: Sealer) -> None:
        self._pool = pool
        self._hints = hints
        self._sealer = sealer

    async def put(self, project_id: UUID, name: str, secret: SecretRequest) -> SecretView:
        """Keep a secret, in place of what its name held before. Raises Conflict when the project has too many."""
        registry = registry_of(secret.registry)
        sealed = self._sealer.seal(project_id, name, registry, Login(secret.username, secret.password))

        async def work(connection: Connection) -> SecretView:
            await connection.execute(queries.lock_project, project_id)
            row = await connection.fetchrow(
                queries.put_secret, project_id, name, secret.kind, registry, sealed, limits.SECRETS_PER_PROJECT
            )
            if row is None:
                raise Conflict(f"the project has {limits.SECRETS_PER_PROJECT} secrets; delete one that is not needed")
            await record(connection, [Event(project_id, "secret.set", data={"name": name})])
            return _view(row)

        view = await run_transaction(self._pool, work, idempotent=True)
        self._hints.events.give([project_id])
        return view

    async def all(self, project_id: UUID) -> SecretList:
        """What secrets there are, not what they hold."""
        return SecretList([_view(row) for row in await self._pool.fetch(queries.list_secrets, project_id)])

    async def delete(self, project_id: UUID, name: str) -> None:
        """Forget a secret. Raises NotFound."""

        async def work(connection: Connection) -> None:
            if await connection.fetchval(queries.delete_secret, project_id, name) is None:
                raise NotFound(f"the project has no secret {name!r}")
            await record(connection, [Event(project_id, "secret.deleted", data={"name": name})])

        await run_transaction(self._pool, work)
        self._hints.events.give([project_id])

    async def open(self, wanted: Collection[Wanted]) -> dict[Wanted, Login | HypernodeError]:
        """The logins that jobs name, in one statement, as they are now; or why not: SecretUnknown, SecretMismatch,
        SecretUnreadable."""
        if not wanted:
            return {}
        rows = await self._pool.fetch(
            queries.find_secrets, [one.project_id for one in wanted], [one.name for one in wanted]
        )
        found = {(row["project_id"], row["name"]): row for row in rows}
        return {one: self._opened(one, found.get((one.project_id, one.name))) for one in wanted}

    def _opened(self, wanted: Wanted, row: Any) -> Login | HypernodeError:
        if row is None:
            return SecretUnknown(
                f"the project has no secret {wanted.name!r}; set it with: hypernode secret:set {wanted.name} "
                f"--registry {wanted.registry} --username NAME"
            )
        if row["registry"] != wanted.registry:
            return SecretMismatch(
                f"secret {wanted.name!r} is for {row['registry']}, but the image is in {wanted.registry}; name "
                "another secret, or none for a public image"
            )
        try:
            return self._sealer.open(wanted.project_id, wanted.name, row["registry"], row["sealed"])
        except HypernodeError as error:
            return error


def _view(row: Any) -> SecretView:
    return SecretView(
        name=row["name"],
        kind=row["kind"],
        registry=row["registry"],
        created_at=rfc3339(row["created_at"]),
        updated_at=rfc3339(row["updated_at"]),
    )
