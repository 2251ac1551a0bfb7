"""What a node says on its connection, in order, and what is done about it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from litestar.types import Receive

from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.reports import Reports
from hypernode.coordinator.sessions import MISSED_BEATS, UNNAMED_BEATS, Session, unwire, wire
from hypernode.jobs.endings import Loss, Ref
from hypernode.kernel.errors import HypernodeError, Malformed, StaleLease, TooLarge
from hypernode.nodes.service import Nodes
from hypernode.protocol import messages

log = logging.getLogger(__name__)
T = TypeVar("T")

LOG_TOO_LARGE: Final = "log.too_large"


class Gone(Exception):
    """The connection has ended."""


async def receive_frame(receive: Receive) -> bytes:
    """The next frame. Raises Gone, Malformed."""
    event = await receive()
    if event["type"] != "websocket.receive":
        raise Gone
    data = event.get("bytes")
    if data is None:
        raise Malformed("frames are binary")
    return data


class Conversation:
    """What a node says on one connection, in order.

    What it says is written without holding up what comes next, so that writes can be coalesced; most of it without a
    task of its own, since thousands of messages a second each wait for a write.
    """

    def __init__(self, session: Session, reports: Reports, nodes: Nodes, metrics: Metrics) -> None:
        self._session = session
        self._reports = reports
        self._nodes = nodes
        self._metrics = metrics
        self._open = 0
        """Writes under way."""
        self._written = asyncio.Event()

    async def read(self, receive: Receive) -> None:
        """Read until the connection ends or says something it must not."""
        try:
            while True:
                frame = await receive_frame(receive)
                self._metrics.frames.inc()
                self._session.hear()
                ends: dict[Ref, int] = {}
                for message in messages.decode_from_node(frame):
                    self._take(message, ends)
                for ref, end in ends.items():
                    self._session.send(messages.LogAck(wire(ref), end))
        except HypernodeError as error:
            self._metrics.bad_frames.labels(error.code).inc()
            log.warning("node %s: %s", self._session.node, error)
            self._session.close(error.code, str(error)[:1000], retry=True)
        finally:
            # What was said before the connection ended still counts.
            while self._open:
                self._written.clear()
                await self._written.wait()

    def _take(self, message: messages.NodeMessage, ends: dict[Ref, int]) -> None:
        match message:
            case messages.Running(lease):
                self._started(unwire(lease))
            case messages.Report(lease):
                ref = unwire(lease)
                self._end(ref, lambda: self._report(ref, message))
            case messages.Log(lease):
                self._log(message, unwire(lease), ends)
            case messages.Heartbeat():
                self._beat(message)
            case messages.Refuse(lease):
                ref = unwire(lease)
                self._end(ref, lambda: self._do(self._reports.refuse(self._session, ref, message)))
            case messages.Drain():
                self._session.draining = True
                self._do(self._nodes.draining(self._session.node))
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
            held.holding.until = time.monotonic() + held.holding.demand.timeout_s
            try:
                starting = self._reports.running(self._session, ref)
            except HypernodeError as error:
                self._fail(error)
            else:
                held.starting = self._watch(starting, lambda held: self._seen(ref, held))

    def _seen(self, ref: Ref, held: bool) -> None:
        if not held:
            self._reports.drop(self._session, ref, StaleLease.code)

    def _end(self, ref: Ref, begin: Callable[[], None]) -> None:
        """The end of an attempt is written after its start."""
        held = self._session.leases.get(ref)
        if held is not None:
            held.ending = True
            if held.starting is not None and not held.starting.done():
                self._open += 1

                def started(_: asyncio.Future[bool]) -> None:
                    try:
                        begin()
                    except Exception as error:  # noqa: BLE001  not swallowed: it ends the connection
                        self._fail(error)
                    finally:
                        self._close_one()

                held.starting.add_done_callback(started)
                return
        begin()

    def _report(self, ref: Ref, message: messages.Report) -> None:
        def failed(error: HypernodeError) -> None:
            self._do(self._reports.failed(self._session, ref, error))

        try:
            settled = self._reports.report(self._session, ref, message)
        except HypernodeError as error:
            failed(error)
        else:
            self._watch(settled, lambda settled: self._reports.settled(self._session, ref, settled), failed)

    def _beat(self, beat: messages.Heartbeat) -> None:
        held = self._session.leases
        named = {unwire(ref) for ref in beat.leases}
        for ref in named - held.keys():
            self._reports.drop(self._session, ref, StaleLease.code)
        for ref, lease in list(held.items()):
            lease.named = lease.named or lease.running or ref in named
            lease.missed = 0 if ref in named or lease.ending else lease.missed + 1
            if lease.missed >= (MISSED_BEATS if lease.named else UNNAMED_BEATS):
                self._do(self._reports.lose(Loss(ref, self._session.node, "node.forgot")))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Write something that takes several steps."""
        self._watch(asyncio.create_task(work), lambda _: None)

    def _watch(
        self,
        writing: asyncio.Future[T],
        then: Callable[[T], None],
        failed: Callable[[HypernodeError], None] | None = None,
    ) -> asyncio.Future[T]:
        """Go on with what is written once it is. What goes wrong, and is not `failed`'s to answer, ends the
        connection: the node will say it again."""
        self._open += 1

        def written(writing: asyncio.Future[T]) -> None:
            try:
                if not writing.cancelled():
                    then(writing.result())
            except Exception as error:  # noqa: BLE001  not swallowed: it is answered, or ends the connection
                if failed is not None and isinstance(error, HypernodeError):
                    failed(error)
                else:
                    self._fail(error)
            finally:
                self._close_one()

        writing.add_done_callback(written)
        return writing

    def _close_one(self) -> None:
        self._open -= 1
        if not self._open:
            self._written.set()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, HypernodeError):
            log.warning("node %s: %s", self._session.node, error)
            self._session.close(error.code, str(error)[:1000], retry=True)
        else:
            log.error("node %s: unexpected error", self._session.node, exc_info=error)
            self._session.close("server.error", "the coordinator made a mistake; it has been logged", retry=True)
