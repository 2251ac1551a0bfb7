"""What the client does beyond one request: retries, pages, waiting, following logs and events. No I/O of its own:
each function is a generator of effects (see `effects`), which both drivers carry out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec

from hypernode.client import calls
from hypernode.client.calls import Call
from hypernode.client.effects import Answer, Emit, Open, Operation, Read, Request, Send, Sleep
from hypernode.client.errors import AnswerInvalid, ConnectionFailed, Interrupted, WaitTimeout
from hypernode.client.retry import TRANSIENT, Retry, after_answer, after_interruption, backoff_s, retry_after_s
from hypernode.client.sse import EventReader, ServerEvent
from hypernode.events.model import EventView
from hypernode.jobs.logs import FrameReader
from hypernode.jobs.views import JobView, LogEnd, LogEvent
from hypernode.kernel.errors import JobEnded

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

STREAM_SILENCE_S: Final = 45.0
"""Three keep-alives of 15 s missed: the connection is dead even if nobody said so."""
CATCH_UP_S: Final = 2.0
"""How long to listen for the last events of a job that has ended already."""


class Patience(msgspec.Struct, frozen=True):
    """A retry policy with the chance and the clock it needs, so that tests can rule both."""

    retry: Retry = Retry()
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


class Page(Protocol[T_co]):
    """Any page of the interface."""

    @property
    def items(self) -> Any: ...
    @property
    def next(self) -> str | None: ...


def send(request: Request, patience: Patience) -> Operation[Answer]:
    """Send until it is answered for good: a transient answer is given back only when patience is exhausted."""
    answer, _ = yield from _deliver(request, patience)
    return answer


def _deliver(request: Request, patience: Patience) -> Operation[tuple[Answer, bool]]:
    """The answer, and whether the server may have acted on an earlier copy of the request."""
    failures, repeated = 0, False
    while True:
        try:
            answer: Answer = yield Send(request)
        except Interrupted as broken:
            failures += 1
            wait = after_interruption(
                patience.retry, failures, repeatable=request.repeatable, sent=broken.sent, chance=patience.chance()
            )
            if wait is None:
                raise ConnectionFailed(_gave_up(broken, request, failures)) from broken
            repeated = repeated or broken.sent
        else:
            if answer.status not in TRANSIENT:
                return answer, repeated
            wait = after_answer(
                patience.retry,
                failures + 1,
                repeatable=request.repeatable,
                status=answer.status,
                retry_after_s=retry_after_s(answer.headers, datetime.now(UTC)),
                chance=patience.chance(),
            )
            if wait is None:
                return answer, repeated
            failures, repeated = failures + 1, True
        yield Sleep(wait)


def ask(call: Call[T], patience: Patience) -> Operation[T]:
    """One call, its answer decoded."""
    answer = yield from send(call.request, patience)
    return calls.read(answer, call.kind)


def pages(page: Callable[[str | None], Call[Any]], patience: Patience) -> Operation[None]:
    """Emit the items of all pages, fetching each when it is reached."""
    cursor: str | None = None
    while True:
        found = yield from ask(page(cursor), patience)
        for item in found.items:
            yield Emit(item)
        if found.next is None:
            return
        if found.next == cursor:
            raise AnswerInvalid("a page is followed by itself")
        cursor = found.next


def cancel(job_id: str, patience: Patience) -> Operation[JobView]:
    """Cancel a job. A repeated request may find the job ended by the first one: then that is the answer."""
    answer, repeated = yield from _deliver(calls.cancel(job_id).request, patience)
    try:
        return calls.read(answer, JobView)
    except JobEnded:
        if not repeated:
            raise
    return (yield from ask(calls.job(job_id), patience))


def delete_secret(name: str, patience: Patience) -> Operation[None]:
    """Delete a secret. A repeated request may find that the first one has deleted it."""
    answer, repeated = yield from _deliver(calls.delete_secret(name), patience)
    if not 200 <= answer.status < 300 and not (repeated and answer.status == 404):
        raise calls.problem(answer)


class Connection:
    """A stream of server-sent events that survives its connections: it reconnects with Last-Event-ID and backs off,
    and gives up only after `stream_attempts` failures without any news between them."""

    def __init__(self, request: Request, patience: Patience, last_id: str = "") -> None:
        self._request = request
        self._patience = patience
        self._reader = EventReader(last_id)
        self._failures = 0

    def open(self, read_timeout_s: float = STREAM_SILENCE_S) -> Operation[None]:
        """Connect, as often as it takes. Raises the problem the server answers, or ConnectionFailed."""
        while True:
            headers = {"accept": "text/event-stream", "cache-control": "no-store"}
            if self._reader.last_id:
                headers["last-event-id"] = self._reader.last_id
            request = msgspec.structs.replace(self._request, headers={**self._request.headers, **headers})
            self._reader.reconnected()
            try:
                answer: Answer = yield Open(request, read_timeout_s)
            except Interrupted as broken:
                yield from self.failed(broken)
                continue
            if answer.status == 200:
                return
            if answer.status not in TRANSIENT:
                raise calls.problem(answer)
            after = retry_after_s(answer.headers, datetime.now(UTC))
            yield from self.failed(None, answer, after)

    def read(self) -> Operation[list[ServerEvent] | None]:
        """The events of the next bytes, or None when the server closed. Raises Interrupted."""
        data: bytes = yield Read()
        if not data:
            return None
        self._failures = 0
        return list(self._reader.feed(data))

    def failed(
        self, cause: Interrupted | None, answer: Answer | None = None, after_s: float | None = None
    ) -> Operation[None]:
        """Count a failure and wait before the next attempt, or give up."""
        self._failures += 1
        retry = self._patience.retry
        if self._failures >= retry.stream_attempts or (after_s or 0) > retry.patience_s:
            if answer is not None:
                raise calls.problem(answer)
            raise ConnectionFailed(_gave_up(cause, self._request, self._failures)) from cause
        yield Sleep(backoff_s(retry, self._failures, self._patience.chance()) + (after_s or 0))

    def events(self) -> Operation[list[ServerEvent]]:
        """The events of the next bytes, over any number of connections."""
        while True:
            try:
                found = yield from self.read()
            except Interrupted as broken:
                yield from self.failed(broken)
            else:
                if found is not None:
                    return found
                yield from self.failed(None)
            yield from self.open()


def follow_log(job_id: str, task: int, patience: Patience) -> Operation[None]:
    """Emit a LogEvent for each piece of a task's log as it is written, over all its attempts, until the task ends."""
    connection = Connection(calls.log_stream(job_id, task), patience)
    yield from connection.open()
    while True:
        for event in (yield from connection.events()):
            if event.kind == "log":
                yield Emit(calls.decode(event.data, LogEvent))
            elif event.kind == "end":
                calls.decode(event.data, LogEnd)
                return


def read_log(job_id: str, task: int, epoch: int | None, patience: Patience) -> Operation[None]:
    """Emit what a task's latest (or the named) attempt has logged so far. The coordinator names the attempt in the
    header `hypernode-epoch`; where it does not, a LogEvent's epoch is the one asked for, or 0."""
    answer = yield from send(calls.log_file(job_id, task, epoch), patience)
    if answer.status == 204:
        return
    if answer.status != 200:
        raise calls.problem(answer)
    named = answer.headers.get("hypernode-epoch", "")
    shown = int(named) if named.isdecimal() else epoch or 0
    reader = FrameReader()
    try:
        for frame in reader.feed(answer.content):
            item = LogEvent(
                task=task, epoch=shown, offset=reader.offset, stream=frame.stream, at_ms=frame.at_ms, data=frame.data
            )
            yield Emit(item)
    except ValueError as error:
        raise AnswerInvalid(str(error)) from error


def follow_events(job_id: str | None, after: str, patience: Patience) -> Operation[None]:
    """Emit an EventView for each transition from now on, or after the event `after`. With a job it ends when the job
    has ended; without one it never does."""
    connection = Connection(calls.event_stream(job_id), patience, after)
    yield from connection.open()
    if job_id is not None:
        job = yield from ask(calls.job(job_id), patience)
        if job.state.ended:
            yield from _last_events(connection)
            return
    while True:
        for event in (yield from connection.events()):
            yield Emit(calls.decode(event.data, EventView))
            if job_id is not None and event.kind == "job.ended":
                return


def _last_events(connection: Connection) -> Operation[None]:
    yield from connection.open(CATCH_UP_S)
    while True:
        try:
            found = yield from connection.read()
        except Interrupted:
            return
        for event in found or ():
            yield Emit(calls.decode(event.data, EventView))
            if event.kind == "job.ended":
                return
        if found is None:
            return


def wait(job_id: str, timeout_s: float | None, patience: Patience) -> Operation[JobView]:
    """Until the job has ended. It listens first and reads the job then, so that the end cannot fall between the two;
    after every reconnect it reads again. Raises WaitTimeout, late by at most about a second as long as
    the coordinator answers."""
    deadline = None if timeout_s is None else patience.clock() + timeout_s
    connection = Connection(calls.event_stream(job_id), patience)

    def left_s() -> float:
        return STREAM_SILENCE_S if deadline is None else max(0.0, deadline - patience.clock())

    while True:
        silence_s = min(STREAM_SILENCE_S, max(0.05, left_s()))
        yield from connection.open(silence_s)
        job = yield from ask(calls.job(job_id), patience)
        if job.state.ended:
            return job
        ended = False
        while not ended:
            if left_s() <= 0:
                raise WaitTimeout(f"job {job_id} is {job.state} after {timeout_s:g} s; it goes on")
            if left_s() < silence_s - 1:
                break  # a blocking read could sleep past the deadline: connect again with a shorter one
            try:
                found = yield from connection.read()
            except Interrupted as broken:
                if left_s() > 0:
                    yield from connection.failed(broken)
                    break
                continue
            if found is None:
                yield from connection.failed(None)
                break
            ended = any(event.kind == "job.ended" for event in found)


def _gave_up(cause: Interrupted | None, request: Request, failures: int) -> str:
    what = cause or "the server keeps closing the connection"
    return f"{what} ({request.method} {request.path}, {failures} attempt{'s' if failures > 1 else ''})"
