"""Nodes: letting them in, keeping their leases alive, and showing them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.events.hints import Hints
from hypernode.events.model import Event
from hypernode.events.service import record
from hypernode.kernel import keys, limits
from hypernode.kernel.errors import Forbidden, JoinTokenInvalid, NotFound
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import KeyPair
from hypernode.kernel.times import rfc3339, rfc3339_or_none
from hypernode.nodes.model import (
    ENROL_CONTEXT,
    Ask,
    Capabilities,
    EnrolRequest,
    JoinToken,
    JoinTokenView,
    NodePage,
    NodeState,
    NodeView,
)
from hypernode.nodes.store import queries
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import find_answers, remember_answers

_TOKEN_CONTEXT: Final = "join token v1"


class KnownNode(msgspec.Struct, frozen=True):
    """A node that is alive, with what it offers."""

    node: str
    name: str
    project_id: UUID
    capabilities: Capabilities
    ask: Ask
    draining: bool
    connected: bool
    """Whether it is connected to a coordinator; without that, its leases run on, but it gets no new ones."""


class Nodes:
    """Nodes and their lives."""

    def __init__(
        self, pool: Pool, hints: Hints, key: KeyPair, addresses: Sequence[str] = (), fingerprint: bytes = b""
    ) -> None:
        """`addresses` and `fingerprint` are what join tokens carry."""
        self._pool = pool
        self._key = key
        self._hints = hints
        self._addresses = tuple(addresses)
        self._fingerprint = fingerprint

    # ── enrolment ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def join_token(self, project_id: UUID, valid_s: int, idempotency: Idempotency | None = None) -> JoinTokenView:
        """A token that lets one node in, once, to earn for this project. Repeated with the same idempotency key it is
        the same token, although it is not stored: it is derived from this coordinator's key. Raises
        IdempotencyMismatch."""
        secret = secrets.token_urlsafe(24)
        if idempotency is not None:
            derived = self._key.derive(_TOKEN_CONTEXT, project_id.bytes + idempotency.key.encode())
            secret = base64.urlsafe_b64encode(derived).decode().rstrip("=")

        async def work(connection: Connection) -> str:
            if idempotency is not None:
                earlier = await find_answers(connection, [(project_id, idempotency)])
                known = earlier.answer(project_id, idempotency)
                if known is not None:
                    return known.decode()
            expires = await connection.fetchval(queries.insert_join_token, _secret_hash(secret), project_id, valid_s)
            expires_at = rfc3339(expires)
            if idempotency is not None:
                await remember_answers(connection, [(project_id, idempotency, uuid7())], expires_at.encode())
            return expires_at

        try:
            expires_at = await run_transaction(self._pool, work)
        except asyncpg.UniqueViolationError:
            expires_at = await run_transaction(self._pool, work)  # its twin was faster, and is there now
        return JoinTokenView(JoinToken(self._addresses, self._fingerprint, secret).text(), expires_at)

    async def forget_join_tokens(self) -> None:
        """Forget tokens that expired long ago."""
        await self._pool.execute(queries.forget_join_tokens)

    async def enrol(self, request: EnrolRequest) -> tuple[UUID, str]:
        """Let a node in. Returns id and name of the project it earns for.

        Raises JoinTokenInvalid, BadSignature when the node does not hold the key it names, Forbidden when that key is
        another project's node.
        """
        digest = _secret_hash(request.secret)
        keys.verify(request.public_key, ENROL_CONTEXT, digest, request.signature)

        async def work(connection: Connection) -> tuple[UUID, str]:
            project_id = await connection.fetchval(queries.use_join_token, digest, request.public_key)
            if project_id is None:
                raise JoinTokenInvalid()
            await connection.execute(queries.insert_node, request.public_key, project_id, request.name)
            row = await connection.fetchrow(queries.find_node, request.public_key)
            if row is None or row["project_id"] != project_id or row["revoked_at"] is not None:
                raise Forbidden("this key belongs to a node of another project, or to one that was revoked")
            await record(connection, [Event(project_id, "node.enrolled", node=request.public_key)])
            return project_id, row["project"]

        return await run_transaction(self._pool, work, idempotent=True)

    async def revoke(self, project_id: UUID, node: str) -> None:
        """Take a node's rights away. Its connection ends and it cannot come back. Raises NotFound."""
        if await self._pool.fetchval(queries.revoke_node, node, project_id) is None:
            raise NotFound(f"this project has no node {node}")

    async def owner(self, connection: Connection, node: str) -> UUID:
        """The project that a node earns for. Raises NotFound."""
        row = await connection.fetchrow(queries.find_node, node)
        if row is None:
            raise NotFound(f"there is no node {node}")
        owner: UUID = row["project_id"]
        return owner

    async def owners(self, connection: Connection, project_ids: Sequence[UUID], before: datetime) -> set[UUID]:
        """Which of these projects had a node, not revoked since, before a moment."""
        rows = await connection.fetch(queries.owners_of_nodes, list(project_ids), before)
        return {row["project_id"] for row in rows}

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def connect(
        self,
        node: str,
        session: UUID,
        coordinator_id: UUID,
        capabilities: Capabilities,
        ask: Ask,
        agent_version: str,
        draining: bool,
        lease_ms: int,
    ) -> UUID:
        """A node has proved who it is: from now on `session` alone speaks for it. Returns its project.

        Raises Forbidden for a node that is unknown or was revoked.
        """

        async def work(connection: Connection) -> UUID:
            project_id: UUID | None = await connection.fetchval(
                queries.connect_node,
                node,
                session,
                capabilities,
                ask.rate_per_second,
                ask.fixed,
                agent_version,
                draining,
                coordinator_id,
                float(lease_ms),
                limits.EVIDENCE_GAP_MS,
            )
            if project_id is None:
                raise Forbidden("this node is not enrolled here, or was revoked; enrol it with a join token")
            await record(connection, [Event(project_id, "node.online", node=node)])
            return project_id

        project = await run_transaction(self._pool, work)
        self._hints.events.give([project])
        return project

    async def draining(self, node: str) -> None:
        """The node takes nothing new."""

        async def work(connection: Connection) -> UUID:
            project_id: UUID = await connection.fetchval(queries.drain_node, node)
            await record(connection, [Event(project_id, "node.draining", node=node)])
            return project_id

        self._hints.events.give([await run_transaction(self._pool, work)])

    async def disconnect(self, node: str, session: UUID, *, goodbye: bool) -> None:
        """The connection ended; leases run on until their time. `goodbye`: it was drained and holds none, so it is away
        at once."""

        async def work(connection: Connection) -> UUID | None:
            project_id: UUID | None = await connection.fetchval(queries.disconnect_node, node, session, goodbye)
            if project_id is not None:
                await record(connection, [Event(project_id, "node.offline", node=node)])
            return project_id

        project = await run_transaction(self._pool, work)
        if project is not None:
            self._hints.events.give([project])

    async def renew(self, heard: Sequence[tuple[str, UUID]], lease_ms: int) -> set[str]:
        """Renew the leases of all nodes heard of, in one statement. Returns those whose session still counts."""
        rows = await self._pool.fetch(
            queries.renew_leases,
            [node for node, _ in heard],
            [session for _, session in heard],
            float(lease_ms),
            limits.EVIDENCE_GAP_MS,
        )
        return {row["node"] for row in rows}

    async def register_coordinator(self, coordinator_id: UUID, key: str, grace_ms: int) -> tuple[int, int]:
        """A coordinator starts. If none was there for a while, that is made up for to nodes and attempts; returns how
        many of each."""

        async def work(connection: Connection) -> tuple[int, int]:
            row = await connection.fetchrow(queries.bridge_outage, coordinator_id, float(grace_ms))
            await connection.execute(queries.register_coordinator, coordinator_id, key)
            return row["nodes"], row["attempts"]

        return await run_transaction(self._pool, work)

    async def coordinator_keys(self) -> list[str]:
        """Public keys of all coordinators there ever were: receipts may be signed by any of them."""
        return [row["key"] for row in await self._pool.fetch(queries.coordinator_keys)]

    async def tick(self, coordinator_id: UUID) -> None:
        """This coordinator is alive."""
        await self._pool.execute(queries.tick_coordinator, coordinator_id)

    # ── views ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def alive(self, limit: int = 10_000) -> list[KnownNode]:
        """Nodes whose leases run, of all projects, by key."""
        rows = await self._pool.fetch(queries.list_alive, limit)
        return [
            KnownNode(
                node=row["key"],
                name=row["name"],
                project_id=row["project_id"],
                capabilities=msgspec.convert(row["capabilities"], Capabilities),
                ask=Ask(row["rate"], row["fixed"]),
                draining=row["draining"],
                connected=row["connected"],
            )
            for row in rows
        ]

    async def running(self, nodes: Sequence[str]) -> dict[str, int]:
        """How many tasks nodes hold; who holds none is left out."""
        rows = await self._pool.fetch(queries.count_running, list(nodes))
        return {row["node"]: row["running"] for row in rows}

    async def page(self, asking: UUID, own: bool, cursor: str | None, limit: int) -> NodePage:
        """Nodes by key: all, or the asking project's own. Earnings are shown for own nodes only."""
        rows = await self._pool.fetch(queries.list_nodes, asking if own else None, cursor or "", None, limit + 1)
        views = [_view(row, asking) for row in rows[:limit]]
        return NodePage(views, views[-1].node if len(rows) > limit else None)

    async def view(self, asking: UUID, node: str) -> NodeView:
        """One node. Raises NotFound."""
        row = await self._pool.fetchrow(queries.list_nodes, None, "", node, 1)
        if row is None:
            raise NotFound(f"there is no node {node}")
        return _view(row, asking)


def _secret_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _view(row: Any, asking: UUID) -> NodeView:
    own = row["project_id"] == asking
    if row["revoked_at"] is not None:
        state = NodeState.REVOKED
    elif row["last_seen_at"] is None:
        state = NodeState.ENROLLED
    elif not row["alive"]:
        state = NodeState.OFFLINE
    else:
        state = NodeState.DRAINING if row["draining"] else NodeState.ONLINE
    return NodeView(
        node=row["key"],
        name=row["name"],
        state=state,
        own=own,
        capabilities=None if row["capabilities"] is None else msgspec.convert(row["capabilities"], Capabilities),
        ask=None if row["rate"] is None else Ask(row["rate"], row["fixed"]),
        enrolled_at=rfc3339(row["enrolled_at"]),
        last_seen_at=rfc3339_or_none(row["last_seen_at"]),
        running=row["running"],
        earned=row["earned"] if own else None,
    )
