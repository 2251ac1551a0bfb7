"""What nodes say about their leases, checked and passed on to the rooms."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Final

from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.sessions import Session, Sessions, wire
from hypernode.events.hints import Hints
from hypernode.jobs.endings import Loss, Ref, Report
from hypernode.jobs.logstore import EMPTY_LOG, LogDigest, LogRef, LogStore
from hypernode.jobs.service.end import Endings, Settled
from hypernode.jobs.service.lease import Leases
from hypernode.kernel import keys
from hypernode.kernel.errors import (
    BadSignature,
    HypernodeError,
    InvalidInput,
    OffsetMismatch,
    StaleLease,
    Unavailable,
)
from hypernode.ledger.receipt import NODE_CONTEXT, decode_body
from hypernode.protocol import messages

log = logging.getLogger(__name__)

_CODE: Final = re.compile(r"^[a-z][a-z0-9_.]{0,63}$")


class Reports:
    """Starts, logs and ends of attempts, as nodes report them."""

    def __init__(
        self, leases: Leases, endings: Endings, logs: LogStore, sessions: Sessions, hints: Hints, metrics: Metrics
    ) -> None:
        self._leases = leases
        self._endings = endings
        self._logs = logs
        self._sessions = sessions
        self._hints = hints
        self._metrics = metrics
        self._settled = metrics.ended.labels("settled")

    def running(self, session: Session, ref: Ref) -> asyncio.Future[bool]:
        """A task's process has started; whether the node holds the lease, to come. Raises Overloaded."""
        return self._leases.running(ref, session.node)

    def append_log(self, session: Session, message: messages.Log, ref: Ref) -> int | None:
        """Bytes of a log. Returns where the log ends now, or None if they are not taken because the lease is not held.
        Raises TooLarge for a log beyond its bound, which no node that keeps to the protocol sends.

        The file is this process's only; what is acknowledged is on disk when the attempt is settled, and until then
        the node keeps its own copy and sends again what is missing.
        """
        if ref not in session.leases:
            self.drop(session, ref, StaleLease.code)
            return None
        try:
            end = self._logs.append(_log_ref(ref), message.offset, message.data)
        except OffsetMismatch as error:
            return int(error.extra["offset"])  # tells the node where to go on
        self._metrics.log_bytes.inc(len(message.data))
        return end

    def report(self, session: Session, ref: Ref, message: messages.Report) -> asyncio.Future[Settled]:
        """An attempt's end, signed: what was settled, to come; pass it on to `settled`, and what is raised instead (now
        or then) to `failed`."""
        body = decode_body(message.body)
        keys.verify(session.node, NODE_CONTEXT, message.body, message.signature)
        report = Report(ref, session.node, body, message.body, message.signature)
        if self._logs.end(_log_ref(ref)):
            return asyncio.ensure_future(self._with_log(session, report))
        _same_log(session, report, EMPTY_LOG)
        return self._endings.end(report)

    async def _with_log(self, session: Session, report: Report) -> Settled:
        _same_log(session, report, await self._logs.finish(_log_ref(report.ref)))
        return await self._endings.end(report)

    def settled(self, session: Session, ref: Ref, settled: Settled) -> None:
        """A report was settled: tell the node."""
        session.send(messages.ReportAck(wire(ref), "", settled.price, settled.operator))
        self._settled.inc()
        self._forget(ref, session)

    async def failed(self, session: Session, ref: Ref, error: HypernodeError) -> None:
        """A report was not settled: it is refused for good with a code; or if nothing can be said just now, the
        connection is ended, so that the node comes back with it. Raises what is neither."""
        match error:
            case Unavailable():
                session.close(error.code, str(error), retry=True)
            case StaleLease():
                self._refuse(session, ref, error)
            case InvalidInput() | BadSignature():
                self._refuse(session, ref, error)
                # The lease was this node's, but what it says cannot be used: the task goes on elsewhere, unpaid.
                await self.lose(Loss(ref, session.node, "report.invalid", str(error)[:1000]))
            case _:
                raise error

    async def refuse(self, session: Session, ref: Ref, message: messages.Refuse) -> None:
        """A node cannot finish a lease."""
        cause = message.code if _CODE.match(message.code) else "node.refused"
        # PostgreSQL keeps no NUL characters, and the words of a node's tools may hold some.
        detail = message.detail.replace("\x00", "\ufffd")
        await self.lose(Loss(ref, session.node, cause, detail, final=message.job_fault))
        session.send(messages.ReportAck(wire(ref), cause))

    async def lose(self, loss: Loss) -> None:
        """There will be no result of an attempt. Nothing happens if it has ended anyway."""
        try:
            await self._endings.end(loss)
        except StaleLease:
            pass
        else:
            self._metrics.ended.labels("lost").inc()
            log.info("attempt lost: job %s task %d epoch %d: %s", *_key(loss.ref), loss.cause)
        self._forget(loss.ref, self._sessions.get(loss.node))

    def drop(self, session: Session, ref: Ref, code: str) -> None:
        """Tell a node that a lease is not its any more."""
        self._release(session, ref)
        session.send(messages.Drop(wire(ref), code))

    def _refuse(self, session: Session, ref: Ref, error: HypernodeError) -> None:
        log.info("report refused: job %s task %d epoch %d from %s: %s", *_key(ref), session.node, error)
        self._metrics.refused.labels(error.code).inc()
        session.send(messages.ReportAck(wire(ref), error.code))
        self._forget(ref, session)

    def _release(self, session: Session, ref: Ref) -> None:
        """Free the room of a lease, and say so: whoever looked when the end was written may have found none yet."""
        session.release(ref)
        self._hints.ready.give()

    def _forget(self, ref: Ref, session: Session | None) -> None:
        if session is not None:
            self._release(session, ref)
        self._logs.close(_log_ref(ref))


def _same_log(session: Session, report: Report, digest: LogDigest) -> None:
    run = report.body.run
    if (digest.root, digest.size_bytes) == (run.log_root, run.log_bytes):
        return
    if report.ref not in session.leases:
        raise StaleLease("the node does not hold this lease")
    raise InvalidInput(
        f"the receipt speaks of a log of {run.log_bytes} bytes, {digest.size_bytes} were delivered"
        if digest.size_bytes != run.log_bytes
        else "the receipt's log root is not the SHA-256 of the log that was delivered"
    )


def _log_ref(ref: Ref) -> LogRef:
    return LogRef(ref.job_id, ref.task, ref.epoch)


def _key(ref: Ref) -> tuple[str, int, int]:
    return str(ref.job_id), ref.task, ref.epoch
