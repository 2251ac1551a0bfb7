"""Projects and API keys: made by the local admin, checked on every request; and the answers creating requests got."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from hypernode.db.bulk import Writer
from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.kernel import decode, limits
from hypernode.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound, Unauthenticated
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import new_secret, same_secret, secret_hash
from hypernode.ledger.service import open_accounts
from hypernode.tenancy.model import KEY_PREFIX, Idempotency, ProjectCaller, ProjectName
from hypernode.tenancy.store import queries

KEY_CACHE_S: Final = 2.0
"""For how long a key that was good stays good without asking the database: how late a revocation may bite."""
_KEY_CACHE: Final = 10_000


class Tenancy:
    """Who may ask."""

    def __init__(self, pool: Pool, now: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._now = now
        self._good: dict[bytes, tuple[float, ProjectCaller]] = {}

    async def create_project(self, name: str) -> UUID:
        """A new project with its accounts. Raises Conflict when the name is taken."""
        decode.from_plain(name, ProjectName)

        async def work(connection: Connection) -> UUID:
            project_id: UUID | None = await connection.fetchval(queries.insert_project, uuid7(), name)
            if project_id is None:
                raise Conflict(f"there is already a project {name!r}")
            await open_accounts(connection, project_id)
            return project_id

        return await run_transaction(self._pool, work)

    async def project(self, name: str) -> UUID:
        """The id of a project. Raises NotFound."""
        row = await self._pool.fetchrow(queries.find_project, name)
        if row is None:
            raise NotFound(f"there is no project {name!r}")
        project_id: UUID = row["id"]
        return project_id

    async def require(self, connection: Connection, project_id: UUID) -> None:
        """Raise NotFound unless there is such a project."""
        if not await connection.fetchval(queries.has_project, project_id):
            raise NotFound(f"there is no project {project_id}")

    async def projects(self) -> list[Any]:
        """All projects with their balances, for the local admin."""
        rows: list[Any] = await self._pool.fetch(queries.list_projects)
        return rows

    async def create_key(self, project_id: UUID, name: str) -> str:
        """A new API key, shown this once: only its hash is kept."""
        if not 0 < len(name) <= 63:
            raise InvalidInput("a key's name has 1 to 63 characters")
        handle = secrets.token_hex(6)
        key = new_secret(KEY_PREFIX, handle)
        await self._pool.execute(queries.insert_key, handle, project_id, name, secret_hash(key))
        return key

    async def keys(self) -> list[Any]:
        """All API keys, without their secrets."""
        rows: list[Any] = await self._pool.fetch(queries.list_keys)
        return rows

    async def revoke_key(self, handle: str) -> None:
        """End a key. Raises NotFound."""
        if await self._pool.fetchval(queries.revoke_key, handle) is None:
            raise NotFound(f"there is no valid key {handle!r}")

    async def forget_answers(self) -> None:
        """Forget idempotency keys that nobody will repeat any more."""
        await self._pool.execute(queries.forget_answers, float(limits.ANSWERS_S))

    async def authenticate(self, key: str) -> ProjectCaller:
        """Whose key this is. Raises Unauthenticated, in the same words for every reason."""
        digest = secret_hash(key)
        now = self._now()
        known = self._good.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        parts = key.split("_", 2)
        if len(key) > 256 or len(parts) != 3 or parts[0] != KEY_PREFIX:
            raise Unauthenticated("the API key is not valid")
        row = await self._pool.fetchrow(queries.find_key, parts[1])
        if row is None or not same_secret(row["secret_hash"], key):
            self._good.pop(digest, None)
            raise Unauthenticated("the API key is not valid")
        caller = ProjectCaller(row["project_id"], row["project"], row["handle"])
        if len(self._good) >= _KEY_CACHE:
            self._good.clear()
        self._good[digest] = (now + KEY_CACHE_S, caller)
        return caller


class Answers:
    """What creating requests with some idempotency keys made before."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._known: dict[tuple[UUID, str], tuple[bytes, UUID | None, bytes | None]] = {
            (row["project_id"], row["key"]): (row["fingerprint"], row["resource"], row["answer"]) for row in rows
        }

    def match(self, project_id: UUID, idempotency: Idempotency | None) -> UUID | None:
        """The id of what this request made before, or None if it is new. Raises IdempotencyMismatch."""
        found = self._find(project_id, idempotency)
        return found and found[1]

    def answer(self, project_id: UUID, idempotency: Idempotency | None) -> bytes | None:
        """What this request was answered before, or None if it is new. Raises IdempotencyMismatch."""
        found = self._find(project_id, idempotency)
        return found and found[2]

    def add(self, project_id: UUID, idempotency: Idempotency | None, resource: UUID) -> None:
        """Know a request that is being answered now, so that its twin in the same batch gets the same."""
        if idempotency is not None:
            self._known[project_id, idempotency.key] = (idempotency.fingerprint, resource, None)

    def _find(
        self, project_id: UUID, idempotency: Idempotency | None
    ) -> tuple[bytes, UUID | None, bytes | None] | None:
        if idempotency is None:
            return None
        known = self._known.get((project_id, idempotency.key))
        if known is not None and known[0] != idempotency.fingerprint:
            raise IdempotencyMismatch(f"Idempotency-Key {idempotency.key!r} came with another request before")
        return known


async def find_answers(connection: Connection, keys: Sequence[tuple[UUID, Idempotency]]) -> Answers:
    """Earlier answers to requests with these keys, in one statement (none if there are no keys)."""
    if not keys:
        return Answers([])
    rows = await connection.fetch(queries.find_answers, [p for p, _ in keys], [i.key for _, i in keys])
    return Answers(rows)


async def remember_answers(
    writer: Writer, answers: Sequence[tuple[UUID, Idempotency, UUID]], body: bytes | None = None
) -> None:
    """Write what requests made, in the transaction that makes it. A twin that was faster violates the key, and with
    it everything else in this transaction is undone."""
    if answers:
        await writer.execute(
            queries.remember_answers,
            [project_id for project_id, _, _ in answers],
            [idempotency.key for _, idempotency, _ in answers],
            [idempotency.fingerprint for _, idempotency, _ in answers],
            [resource for _, _, resource in answers],
            [body for _ in answers],
        )


def check_idempotency_key(key: str | None, fingerprint: bytes) -> Idempotency | None:
    """A request's `Idempotency-Key`, if it has one. Raises InvalidInput for one that cannot be kept."""
    if key is None:
        return None
    if not 0 < len(key) <= limits.IDEMPOTENCY_KEY_CHARS or not key.isprintable():
        raise InvalidInput(f"Idempotency-Key must be 1 to {limits.IDEMPOTENCY_KEY_CHARS} printable characters")
    return Idempotency(key, fingerprint)
