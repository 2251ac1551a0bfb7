"""The WebSocket that nodes open: handshake, then messages both ways until either side ends it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from hypernode.coordinator.conversation import Conversation, Gone, receive_frame
from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.reports import Reports
from hypernode.coordinator.sessions import Session, Sessions, unwire, wire
from hypernode.coordinator.settings import Settings
from hypernode.events.hints import Hints
from hypernode.jobs.endings import Loss
from hypernode.jobs.service.attempts import Attempts
from hypernode.kernel import keys
from hypernode.kernel.errors import Forbidden, HypernodeError, Malformed, Refused, Unavailable
from hypernode.kernel.keys import KeyPair
from hypernode.market.offers import Holding
from hypernode.nodes.service import Nodes
from hypernode.protocol import messages

log = logging.getLogger(__name__)

HANDSHAKE_S: Final = 10.0
_CLOSE_NORMAL: Final = 1000
_CLOSE_POLICY: Final = 1008


class NodeSocket:
    """ASGI handler of node connections."""

    def __init__(
        self,
        settings: Settings,
        key: KeyPair,
        coordinator_id: Any,
        nodes: Nodes,
        attempts: Attempts,
        reports: Reports,
        sessions: Sessions,
        hints: Hints,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._key = key
        self._id = coordinator_id
        self._nodes = nodes
        self._attempts = attempts
        self._reports = reports
        self._sessions = sessions
        self._hints = hints
        self._metrics = metrics
        self._stopping = False
        self._live: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        event = await receive()
        if event["type"] != "websocket.connect":
            return
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        try:
            session = await self._handshake(receive, send)
            if session is not None:
                await self._serve(session, receive, send)
        except Gone:
            pass
        finally:
            self._live.discard(task)

    async def stop(self) -> None:
        """Tell all nodes that this coordinator goes away, and wait until their connections have ended."""
        self._stopping = True
        for session in self._sessions:
            session.close("coordinator.stopping", "the coordinator is stopping; try again soon", retry=True)
        if self._live:
            await asyncio.wait(self._live, timeout=HANDSHAKE_S)

    # ── handshake ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _handshake(self, receive: Receive, send: Send) -> Session | None:
        challenge = messages.Challenge(messages.VERSION, secrets.token_bytes(32), self._key.public)
        await _send(send, [challenge])
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                frame = await receive_frame(receive)
            said = messages.decode_from_node(frame)
            if len(said) != 1 or not isinstance(said[0], messages.Hello):
                raise Malformed("the first frame of a connection is one Hello")
            return await self._admit(challenge, said[0])
        except TimeoutError:
            await _refuse(send, messages.Closing("node.silent", "no Hello within 10 s", True))
        except HypernodeError as error:
            self._metrics.bad_frames.labels(error.code).inc()
            log.info("node refused: %s", error)
            # What was wrong with this Hello is as wrong with the next, unless it is the service that is unavailable.
            await _refuse(
                send, messages.Closing(error.code, str(error)[:1000], not isinstance(error, Refused | Malformed))
            )
        return None

    async def _admit(self, challenge: messages.Challenge, hello: messages.Hello) -> Session:
        if hello.version != messages.VERSION:
            raise Forbidden(f"this coordinator speaks version {messages.VERSION} of the protocol, not {hello.version}")
        signed = messages.hello_bytes(challenge, hello.node_key, hello.capabilities, hello.ask, hello.draining)
        keys.verify(hello.node_key, messages.HELLO_CONTEXT, signed, hello.signature)
        if self._stopping:
            raise Unavailable("the coordinator is stopping")
        standing = await self._attempts.standing(hello.node_key)
        session = Session(hello.node_key, hello.capabilities, hello.ask, self._sessions.pool, standing)
        session.draining = hello.draining
        await self._nodes.connect(
            hello.node_key,
            session.id,
            self._id,
            hello.capabilities,
            hello.ask,
            hello.agent_version,
            hello.draining,
            self._settings.lease_ms,
        )
        # Only now: from here on nothing can be leased to this node in the name of an older session.
        holds = {unwire(ref) for ref in hello.holds}
        live = await self._attempts.of_node(hello.node_key)
        settled = await self._attempts.settled(holds - live.keys())
        for ref, attempt in live.items():
            if ref in holds:
                holding = Holding(attempt.demand, attempt.project_id, time.monotonic() + attempt.demand.timeout_s)
                session.offer.take(holding)
                session.hold(ref, holding, running=attempt.running)
        welcome = messages.Welcome(
            session.id.bytes,
            self._settings.lease_ms,
            self._settings.heartbeat_ms,
            # A report that was settled while its acknowledgement got lost comes once more and gets it; no need to drop.
            tuple(wire(ref) for ref in sorted(holds - live.keys() - settled)),
        )
        self._sessions.add(session)
        session.send(welcome)
        for ref, attempt in live.items():
            if ref not in holds:
                await self._reports.lose(Loss(ref, session.node, "node.forgot"))
            elif attempt.cancel_requested:
                session.send(messages.Cancel(wire(ref)))
        log.info("node %s connected with %d leases, session %s", session.node, len(session.leases), session.id)
        return session

    # ── afterwards ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self, session: Session, receive: Receive, send: Send) -> None:
        self._metrics.nodes.inc()
        self._hints.ready.give()
        conversation = Conversation(session, self._reports, self._nodes, self._metrics)
        writer = asyncio.create_task(self._write(session, send), name=f"write {session.node}")
        reader = asyncio.create_task(conversation.read(receive), name=f"read {session.node}")
        try:
            done, _ = await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            if reader in done and writer not in done:
                # The node may still read what there is to say, such as why its frames were refused.
                session.close("connection.ended", "the connection has ended", retry=True)
                await asyncio.wait({writer}, timeout=HANDSHAKE_S)
        finally:
            for task in (writer, reader):
                task.cancel()
            results = await asyncio.gather(writer, reader, return_exceptions=True)
            self._metrics.nodes.dec()
            self._sessions.remove(session)
            log.info("node %s disconnected", session.node)
            await self._nodes.disconnect(session.node, session.id, goodbye=session.draining and not session.leases)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Gone):
                raise result

    async def _write(self, session: Session, send: Send) -> None:
        while True:
            batch = await session.outgoing()
            for chunk in _chunks(batch):
                await _send(send, chunk)
            if not batch and session.closing is not None:
                await _refuse(send, session.closing)
                return


async def _send(send: Send, batch: list[messages.CoordinatorMessage]) -> None:
    try:
        await send({"type": "websocket.send", "bytes": messages.encode(batch), "text": None})
    except (OSError, RuntimeError) as error:  # uvicorn: the other side is gone
        raise Gone from error


async def _refuse(send: Send, closing: messages.Closing) -> None:
    try:
        await _send(send, [closing])
        code = _CLOSE_NORMAL if closing.retry else _CLOSE_POLICY
        await send({"type": "websocket.close", "code": code, "reason": closing.code})
    except (Gone, OSError, RuntimeError):
        pass  # it did not wait for the reason


def _weight(lease: messages.Lease) -> int:
    login = lease.registry
    return len(lease.document) + (len(login.username.encode()) + len(login.password.encode()) if login else 0)


def _chunks(batch: list[messages.CoordinatorMessage]) -> list[list[messages.CoordinatorMessage]]:
    """Frames within the protocol's bounds: leases carry documents and may be large."""
    chunks: list[list[messages.CoordinatorMessage]] = []
    size = messages.MAX_BATCH_BYTES
    for message in batch:
        weight = 256 + (_weight(message) if isinstance(message, messages.Lease) else 0)
        if not chunks or size + weight > messages.MAX_BATCH_BYTES or len(chunks[-1]) >= messages.MAX_BATCH:
            chunks.append([])
            size = 0
        chunks[-1].append(message)
        size += weight
    return chunks
