"""The WebSocket that nodes open: handshake, then messages both ways until either side ends it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.reports import Reports
from hypernode.coordinator.sessions import MISSED_BEATS, Session, Sessions, unwire, wire
from hypernode.coordinator.settings import Settings
from hypernode.events.hints import Hints
from hypernode.jobs.endings import Loss, Ref
from hypernode.jobs.service.attempts import Attempts
from hypernode.kernel import keys
from hypernode.kernel.errors import Forbidden, HypernodeError, Malformed, Refused, StaleLease, TooLarge, Unavailable
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.service import Nodes
from hypernode.protocol import messages

log = logging.getLogger(__name__)

HANDSHAKE_S: Final = 10.0
LOG_TOO_LARGE: Final = "log.too_large"
SILENCE_BEATS: Final = 5
"""Heartbeats a node may miss before its connection counts as dead. Its leases run on until their own time."""
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
        except _Gone:
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
                frame = await _frame(receive)
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
        session = Session(hello.node_key, hello.capabilities, hello.ask)
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
                session.offer.take(attempt.demand)
                session.hold(ref, attempt.demand, running=attempt.running)
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
        writer = asyncio.create_task(self._write(session, send), name=f"write {session.node}")
        reader = asyncio.create_task(_Conversation(self, session).read(receive), name=f"read {session.node}")
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
            if isinstance(result, Exception) and not isinstance(result, _Gone):
                raise result

    async def _write(self, session: Session, send: Send) -> None:
        while True:
            batch = await session.outgoing()
            for chunk in _chunks(batch):
                await _send(send, chunk)
            if not batch and session.closing is not None:
                await _refuse(send, session.closing)
                return


class _Conversation:
    """What a node says on one connection, in order."""

    def __init__(self, socket: NodeSocket, session: Session) -> None:
        self._socket = socket
        self._reports = socket._reports
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, receive: Receive) -> None:
        """Read until the connection ends or says something it must not."""
        silence_s = SILENCE_BEATS * self._socket._settings.heartbeat_ms / 1000
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    frame = await _frame(receive)
                self._socket._metrics.frames.inc()
                self._session.heard = True
                ends: dict[Ref, int] = {}
                for message in messages.decode_from_node(frame):
                    self._take(message, ends)
                for ref, end in ends.items():
                    self._session.send(messages.LogAck(wire(ref), end))
        except TimeoutError:
            log.info("node %s was silent for %.1f s", self._session.node, silence_s)
        except HypernodeError as error:
            self._socket._metrics.bad_frames.labels(error.code).inc()
            log.warning("node %s: %s", self._session.node, error)
            self._session.close(error.code, str(error)[:1000], retry=True)
        finally:
            # What was said before the connection ended still counts.
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _take(self, message: messages.NodeMessage, ends: dict[Ref, int]) -> None:
        match message:
            case messages.Heartbeat():
                self._beat(message)
            case messages.Running(lease):
                self._started(unwire(lease))
            case messages.Log(lease):
                self._log(message, unwire(lease), ends)
            case messages.Report(lease):
                self._end(unwire(lease), self._reports.report(self._session, unwire(lease), message))
            case messages.Refuse(lease):
                self._end(unwire(lease), self._reports.refuse(self._session, unwire(lease), message))
            case messages.Drain():
                self._session.draining = True
                self._do(self._socket._nodes.draining(self._session.node))
            case messages.Hello():
                raise Malformed("Hello is said once")

    def _log(self, message: messages.Log, ref: Ref, ends: dict[Ref, int]) -> None:
        try:
            end = self._reports.append_log(self._session, message, ref)
        except TooLarge as error:
            # Its own bound ends a job that floods its log, so this node is not in order: the task goes elsewhere.
            self._reports.drop(self._session, ref, LOG_TOO_LARGE)
            self._do(self._reports.lose(Loss(ref, self._session.node, LOG_TOO_LARGE, str(error))))
        else:
            if end is not None:
                ends[ref] = end

    def _started(self, ref: Ref) -> None:
        held = self._session.leases.get(ref)
        if held is None:
            self._reports.drop(self._session, ref, StaleLease.code)
        elif not held.running:
            held.running = True
            held.starting = self._do(self._reports.running(self._session, ref))

    def _end(self, ref: Ref, ending: Coroutine[Any, Any, None]) -> None:
        """The end of an attempt is written after its start."""
        held = self._session.leases.get(ref)
        starting = None
        if held is not None:
            held.ending, starting = True, held.starting
        self._do(_after(starting, ending))

    def _beat(self, beat: messages.Heartbeat) -> None:
        held = self._session.leases
        named = {unwire(ref) for ref in beat.leases}
        for ref in named - held.keys():
            self._reports.drop(self._session, ref, StaleLease.code)
        for ref, lease in list(held.items()):
            lease.missed = 0 if ref in named or lease.ending else lease.missed + 1
            if lease.missed >= MISSED_BEATS:
                self._do(self._reports.lose(Loss(ref, self._session.node, "node.forgot")))

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Write something without holding up what comes next on the connection, so that writes can be coalesced. What
        goes wrong ends the connection: the node will say it again."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, HypernodeError):
            log.warning("node %s: %s", self._session.node, error)
            self._session.close(error.code, str(error)[:1000], retry=True)
        else:
            log.error("node %s: unexpected error", self._session.node, exc_info=error)
            self._session.close("server.error", "the coordinator made a mistake; it has been logged", retry=True)


async def _after(first: asyncio.Task[None] | None, then: Coroutine[Any, Any, None]) -> None:
    if first is not None and not first.done():
        await asyncio.wait({first})
    await then


class _Gone(Exception):
    """The connection has ended."""


async def _frame(receive: Receive) -> bytes:
    event = await receive()
    if event["type"] != "websocket.receive":
        raise _Gone
    data = event.get("bytes")
    if data is None:
        raise Malformed("frames are binary")
    return data


async def _send(send: Send, batch: list[messages.CoordinatorMessage]) -> None:
    try:
        await send({"type": "websocket.send", "bytes": messages.encode(batch), "text": None})
    except (OSError, RuntimeError) as error:  # uvicorn: the other side is gone
        raise _Gone from error


async def _refuse(send: Send, closing: messages.Closing) -> None:
    try:
        await _send(send, [closing])
        code = _CLOSE_NORMAL if closing.retry else _CLOSE_POLICY
        await send({"type": "websocket.close", "code": code, "reason": closing.code})
    except (_Gone, OSError, RuntimeError):
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
