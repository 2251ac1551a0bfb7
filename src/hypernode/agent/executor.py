"""All leases of the node: takes them, ends them, delivers their results until each is acknowledged."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hypernode.agent import uploads
from hypernode.agent.attempt import Attempt, Tools, spool_path
from hypernode.agent.backends import Backend, Backends
from hypernode.agent.journal import Finished
from hypernode.agent.leases import Leases, Phase
from hypernode.agent.outbox import Outbox
from hypernode.agent.plan import lease_key
from hypernode.agent.refusal import BAD_DOCUMENT, BUSY, CANCELLED, RESTARTED, STOPPING, GiveBack, giving_back
from hypernode.agent.remote import Remote
from hypernode.agent.sandboxes.base import SandboxError
from hypernode.agent.status import LeaseView
from hypernode.agent.work import Work, remove_all_but, remove_files, view
from hypernode.jobs.model import JobDocument, decode_canonical
from hypernode.kernel.errors import Malformed, StaleLease
from hypernode.ledger.receipt import ReceiptBody, decode_body
from hypernode.protocol.messages import Lease, LeaseRef, LogAck, Refuse, Report, ReportAck

log = logging.getLogger(__name__)

DELIVER_S: Final = 7 * 24 * 3600.0
"""How long one output is tried to be delivered; a coordinator drops the lease long before."""

DOCUMENTS: Final = 16
"""Job documents that are remembered, the largest of which has DOCUMENT_BYTES."""


class Executor:
    """Runs leases as tasks of `group`: an error that no lease may cause ends the group, and with it the agent."""

    def __init__(
        self, tools: Tools, leases: Leases, outbox: Outbox, remote: Remote, group: asyncio.TaskGroup, backends: Backends
    ) -> None:
        self._tools = tools
        self._leases = leases
        self._outbox = outbox
        self._remote = remote
        self._group = group
        self._works: dict[LeaseRef, Work] = {}
        self._online = False
        self._backends = backends
        self.draining = False
        self.changed = asyncio.Event()
        """Set whenever a lease went away or changed its phase; whoever waits clears it."""

    # ── the connection's side ───────────────────────────────────────────────────────────────────────────────────────

    def connected(self, drop: tuple[LeaseRef, ...]) -> None:
        """A connection is up: say again what nobody may have heard."""
        self._online = True
        for lease in drop:
            self._drop(lease, StaleLease.code)
        self._outbox.clear()
        self._outbox.put_all(self._leases.resume())
        for work in list(self._works.values()):
            work.said = False
            work.sender.reconnected()
            self._pump(work)
            self._report(work)

    def disconnected(self) -> None:
        """Nothing that is said now would arrive."""
        self._online = False
        self._outbox.clear()
        self.changed.set()

    def take(self, message: Lease) -> None:
        """A lease arrived."""
        lease = message.lease
        if self._leases.get(lease) is not None:
            return  # said twice
        why = self._why_not(message)
        if isinstance(why, GiveBack):
            log.info("lease %s refused: %s", lease_key(lease), why)
            self._outbox.put(Refuse(lease, why.code, why.detail, why.job_fault))
            return
        document, backend = why
        held = self._leases.take(lease, document.resources)
        self._tools.journal.take(lease)
        work = self._works[lease] = Work(self._tools.home, held)
        work.name, work.outputs = document.name, bool(document.outputs)
        work.attempt = Attempt(
            self._tools,
            message,
            document,
            backend,
            key=work.key,
            log_path=work.log_path,
            on_started=lambda: self._started(work),
            on_log=lambda size_bytes: self._grown(work, size_bytes),
        )
        work.task = self._group.create_task(self._to_its_end(work, functools.partial(self._run, work, work.attempt)))

    def cancel(self, lease: LeaseRef) -> None:
        """The client cancelled. What has ended already is delivered as it ended."""
        work = self._works.get(lease)
        if work is None or work.attempt is None:
            return
        if work.held.phase is Phase.PREPARING:
            work.end(GiveBack(CANCELLED, "cancelled before it started"))
        elif work.held.phase is Phase.RUNNING:
            self._group.create_task(self._kill(work, work.attempt))

    def drop(self, lease: LeaseRef, code: str) -> None:
        """The lease is gone: end it and forget it."""
        work = self._works.get(lease)
        if work is not None and work.held.phase is Phase.REPORTED:
            # It may have been settled while the acknowledgement got lost. The report itself is always answered.
            self._report(work, unasked=True)
        else:
            self._drop(lease, code)

    def log_ack(self, message: LogAck) -> None:
        """The coordinator has log bytes."""
        work = self._works.get(message.lease)
        if work is not None:
            work.sender.acknowledge(message.offset)
            self._pump(work)
            self._report(work)

    def report_ack(self, message: ReportAck) -> None:
        """A result is settled or refused for good, or a refusal of this node's has been heard."""
        held = self._leases.get(message.lease)
        if held is None:
            return
        if held.phase is Phase.REFUSED:
            self._forget(message.lease, failed=1)
        elif message.code:
            log.warning("result of %s refused: %s", lease_key(message.lease), message.code)
            self._forget(message.lease, failed=1)
        else:
            log.info("result of %s accepted, earned %d µHYPER", _Key(message.lease), message.earned)
            self._forget(message.lease, done=1, earned=message.earned)

    # ── the agent's side ────────────────────────────────────────────────────────────────────────────────────────────

    def recover(self, interrupted: tuple[LeaseRef, ...], finished: tuple[Finished, ...]) -> None:
        """Go on where an earlier agent of this home ended; remove the files of what is lost."""
        home = self._tools.home
        remove_all_but(home, {lease_key(result.lease) for result in finished})
        for lease in interrupted:
            held = self._leases.recover(lease)
            self._leases.refused(held, RESTARTED, "the node restarted while it ran")
        for result in finished:
            try:
                body = decode_body(result.body)
            except Malformed:
                log.error("the journal's result of %s is damaged and lost", lease_key(result.lease))
                self._leases.refused(self._leases.recover(result.lease), RESTARTED, "the result was damaged")
                continue
            held = self._leases.recover(result.lease)
            work = self._works[result.lease] = Work(home, held, body.run.log_bytes)
            work.task = self._group.create_task(
                self._to_its_end(work, functools.partial(self._deliver, work, result, body))
            )
        if interrupted or finished:
            log.info("recovered: %d interrupted, %d results to deliver", len(interrupted), len(finished))

    def hand_back(self) -> None:
        """Stop what is prepared or runs, and give it back. Results that are being delivered stay in the journal."""
        for work in list(self._works.values()):
            if work.held.phase in (Phase.PREPARING, Phase.RUNNING):
                work.end(GiveBack(STOPPING, "the node's owner stopped it"))

    @property
    def quiet(self) -> bool:
        """Whether nothing runs and no refusal waits to be heard."""
        return all(held.phase in (Phase.DELIVERING, Phase.REPORTED) for held in self._leases)

    def views(self) -> list[LeaseView]:
        """Every lease."""
        return [view(held, self._works.get(held.lease)) for held in self._leases]

    # ── one lease ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _why_not(self, message: Lease) -> tuple[JobDocument, Backend] | GiveBack:
        """The document of a lease that can be taken and the sandbox to run it in, or why not."""
        if self.draining:
            return GiveBack(STOPPING, "the node is stopping")
        try:
            document = _document(message.document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return GiveBack(BAD_DOCUMENT, f"this node cannot read the job document: {error}")
        try:
            backend = self._backends.choose(document)
        except GiveBack as why_not:
            return why_not
        why = self._leases.why_not(document.resources)
        return GiveBack(BUSY, why) if why is not None else (document, backend)

    async def _run(self, work: Work, attempt: Attempt) -> None:
        try:
            finished, body = await attempt.run()
        finally:
            work.attempt = None  # it knows its work: together they would stay until the collector finds them
        self._leases.finished(work.held)
        self.changed.set()
        await self._deliver(work, finished, body)

    async def _to_its_end(self, work: Work, run: Callable[[], Awaitable[None]]) -> None:
        """Do the work on a lease and turn how it failed into a refusal."""
        work.begun = True
        try:
            with giving_back():
                if work.ending is not None:
                    raise work.ending
                await run()
        except GiveBack as error:
            self._refuse(work, error)
        except asyncio.CancelledError:
            if work.ending is None:
                raise
            self._refuse(work, work.ending)
        finally:
            if self._works.get(work.lease) is not work:  # forgotten while its task was ending
                await self._remove_files(work.lease)

    async def _deliver(self, work: Work, finished: Finished, body: ReceiptBody) -> None:
        """Outputs, then what is missing of the log, then the report."""
        lease = finished.lease
        work.sender.grown(body.run.log_bytes)
        self._pump(work)
        sent = set()
        for output in body.work.outputs:
            if output.sha256 not in sent:
                sent.add(output.sha256)
                spool = spool_path(self._tools.home, work.key)
                await uploads.upload(self._remote, lease, output, spool, for_s=DELIVER_S)
        await work.sender.complete.wait()
        self._leases.delivered(work.held, Report(lease, finished.body, finished.signature))
        self._report(work)
        self.changed.set()

    def _report(self, work: Work, *, unasked: bool = False) -> None:
        """Say the report, once a connection, when the coordinator has the whole log (`unasked`: whether or not)."""
        report = work.held.report
        if work.held.phase is not Phase.REPORTED or report is None or work.said or not self._online:
            return
        if unasked or work.sender.complete.is_set():
            work.said = True
            self._outbox.put(report)

    def _drop(self, lease: LeaseRef, code: str) -> None:
        if self._leases.get(lease) is not None:
            log.info("lease %s dropped: %s", lease_key(lease), code)
            self._forget(lease, failed=1)

    async def _kill(self, work: Work, attempt: Attempt) -> None:
        try:
            await attempt.kill()
        except SandboxError as error:
            work.end(GiveBack(error.code, str(error)))

    def _started(self, work: Work) -> None:
        running = self._leases.started(work.held)
        if self._online:
            self._outbox.put(running)

    def _grown(self, work: Work, size_bytes: int) -> None:
        work.sender.grown(size_bytes)
        self._pump(work)

    def _pump(self, work: Work) -> None:
        if not self._online or work.held.phase is Phase.REFUSED:
            return
        try:
            self._outbox.put_all(work.sender.next_messages())
        except OSError as error:
            work.end(GiveBack("node.io_error", f"the log cannot be read: {error}"))

    def _refuse(self, work: Work, why: GiveBack) -> None:
        lease = work.lease
        if self._works.get(lease) is not work or work.held.phase is Phase.REFUSED:
            return  # dropped meanwhile
        log.info("lease %s given back: %s", lease_key(lease), why)
        refuse = self._leases.refused(work.held, why.code, why.detail, why.job_fault)
        if self._online:
            self._outbox.put(refuse)
        self.changed.set()

    def _forget(self, lease: LeaseRef, *, done: int = 0, failed: int = 0, earned: int = 0) -> None:
        self._leases.forget(lease)
        self._tools.journal.forget(lease, done=done, failed=failed, earned=earned)
        work = self._works.pop(lease, None)
        if work is not None and work.task is not None and not work.task.done():
            work.end(GiveBack("dropped", ""))  # its end removes its files
        elif work is not None and work.has_files:
            self._group.create_task(self._remove_files(lease))
        self.changed.set()

    async def _remove_files(self, lease: LeaseRef) -> None:
        await remove_files(self._tools.home, lease)
        self.changed.set()


@functools.lru_cache(maxsize=DOCUMENTS)
def _document(data: bytes) -> JobDocument:
    """A job document, decoded once for all tasks of an array and all jobs that are the same."""
    return decode_canonical(data)


class _Key:
    """A lease's name for a log line, made only if the line is written."""

    def __init__(self, lease: LeaseRef) -> None:
        self._lease = lease

    def __str__(self) -> str:
        return lease_key(self._lease)
