"""Logs, events and waiting over connections that break: nothing twice, nothing missed, and an end."""

from __future__ import annotations

import time

import msgspec
import pytest

from hypernode.client.aio import AsyncClient
from hypernode.client.errors import AnswerInvalid, ConnectionFailed, WaitTimeout
from hypernode.client.sync import Client
from hypernode.events.model import EventView
from hypernode.jobs.lifecycle import TaskState
from hypernode.jobs.logs import LogFrame, encode_frame
from hypernode.jobs.views import LogEnd, LogEvent
from hypernode.kernel.errors import NotFound
from integration.test_client_server import (  # noqa: F401  fixtures
    JOB_ID,
    Drop,
    Heard,
    Reply,
    Server,
    async_client,
    client,
    job_view,
    server,
)

STREAM = {"content-type": "text/event-stream"}


def sse(kind: str, data: object, event_id: str = "") -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode()


def log(offset: int, data: bytes, epoch: int = 1) -> bytes:
    event = LogEvent(task=0, epoch=epoch, offset=offset, stream=1, at_ms=0, data=data)
    return sse("log", event, f"{epoch}.{offset}")


def happened(kind: str, event_id: str) -> bytes:
    view = EventView(id=event_id, at="", kind=kind, job_id=JOB_ID, task=0, epoch=1, node=None, data={})
    return sse(kind, view, event_id)


END = sse("end", LogEnd(task=0, state=TaskState.SUCCEEDED))


def test_a_log_goes_on_where_the_connection_broke(server: Server, client: Client) -> None:  # noqa: F811
    server.script(
        Reply(headers=STREAM, pieces=[b": hi\n\n", log(14, b"a"), log(28, b"b")[:-9], Drop]),
        Reply(503),
        Reply(headers=STREAM, pieces=[log(28, b"b"), log(14, b"c", epoch=2), END]),
    )
    events = list(client.logs(JOB_ID, follow=True))
    assert [(event.epoch, event.data) for event in events] == [(1, b"a"), (1, b"b"), (2, b"c")]
    assert [heard.headers.get("last-event-id") for heard in server.heard] == [None, "1.14", "1.14"]


async def test_the_async_client_follows_as_well(server: Server, async_client: AsyncClient) -> None:  # noqa: F811
    server.script(
        Reply(headers=STREAM, pieces=[log(14, b"a"), Drop]),
        Reply(headers=STREAM, pieces=[log(28, b"b"), END]),
    )
    assert [event.data async for event in async_client.logs(JOB_ID, follow=True)] == [b"a", b"b"]


def test_a_stream_without_news_is_given_up(server: Server, client: Client) -> None:  # noqa: F811
    server.script(Reply(headers=STREAM, pieces=[]))
    with pytest.raises(ConnectionFailed):
        list(client.logs(JOB_ID, follow=True))
    assert len(server.heard) == 4


def test_a_stream_that_is_refused(server: Server, client: Client) -> None:  # noqa: F811
    server.script(Reply(404))
    with pytest.raises(NotFound):
        list(client.logs(JOB_ID, follow=True))
    server.script(Reply(headers=STREAM, pieces=[b"event: log\ndata: {}\n\n"]))
    with pytest.raises(AnswerInvalid):
        list(client.logs(JOB_ID, follow=True))


def test_a_stored_log_is_decoded(server: Server, client: Client) -> None:  # noqa: F811
    raw = encode_frame(LogFrame(1, 5, b"out")) + encode_frame(LogFrame(2, 6, b"err"))
    server.script(Reply(200, raw, {"hypernode-epoch": "3"}))
    events = list(client.logs(JOB_ID, 7))
    assert [(e.task, e.epoch, e.stream, e.data) for e in events] == [(7, 3, 1, b"out"), (7, 3, 2, b"err")]
    assert server.heard[0].query == "task=7"
    server.script(Reply(200, b"\x09" * 40))
    with pytest.raises(AnswerInvalid):
        list(client.logs(JOB_ID))


def test_events_resume_and_end_with_the_job(server: Server, client: Client) -> None:  # noqa: F811
    streams = [
        Reply(headers=STREAM, pieces=[happened("task.leased", "10"), Drop]),
        Reply(headers=STREAM, pieces=[happened("job.ended", "11"), happened("never.seen", "12")]),
    ]
    server.answer = lambda heard: streams.pop(0) if heard.path.endswith("/events") else Reply(200, job_view())
    assert [event.kind for event in client.events(JOB_ID, after="9")] == ["task.leased", "job.ended"]
    ids = [heard.headers.get("last-event-id") for heard in server.heard if heard.path.endswith("/events")]
    assert ids == ["9", "10"]


def test_events_of_an_ended_job_do_not_hang(server: Server, client: Client) -> None:  # noqa: F811
    def answer(heard: Heard) -> Reply:
        if heard.path.endswith("/events"):
            return Reply(headers=STREAM, pieces=[happened("task.accepted", "1"), 30.0])
        return Reply(200, job_view("succeeded"))

    server.answer = answer
    assert [event.kind for event in client.events(JOB_ID)] == ["task.accepted"]


def test_waiting_listens_before_it_looks(server: Server, client: Client) -> None:  # noqa: F811
    states = ["queued", "succeeded"]

    def answer(heard: Heard) -> Reply:
        if heard.path.endswith("/events"):
            return Reply(headers=STREAM, pieces=[happened("task.leased", "1"), 0.2, happened("job.ended", "2"), 20.0])
        return Reply(200, job_view(states.pop(0)))

    server.answer = answer
    assert client.wait(JOB_ID, 10).state == "succeeded"
    assert [heard.path.rpartition("/")[2] for heard in server.heard] == ["events", JOB_ID, "events", JOB_ID]


def test_waiting_reads_again_after_a_broken_connection(server: Server, client: Client) -> None:  # noqa: F811
    states = ["running", "failed"]
    server.answer = lambda heard: (
        Reply(headers=STREAM, pieces=[b": hi\n\n", Drop])
        if heard.path.endswith("/events")
        else Reply(200, job_view(states.pop(0)))
    )
    assert client.wait(JOB_ID).state == "failed"


async def test_waiting_has_a_bound(server: Server, client: Client, async_client: AsyncClient) -> None:  # noqa: F811
    quiet = Reply(headers=STREAM, pieces=[0.2, b": alive\n\n", 20.0])
    server.answer = lambda heard: quiet if heard.path.endswith("/events") else Reply(200, job_view("running"))
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match="it goes on"):
        await async_client.wait(JOB_ID, 0.6)
    assert time.monotonic() - started < 5


def test_leaving_an_iterator_early_closes_its_connection(server: Server, client: Client) -> None:  # noqa: F811
    server.script(Reply(headers=STREAM, pieces=[log(14, b"a"), 20.0]))
    stream = client.logs(JOB_ID, follow=True)
    assert next(stream).data == b"a"
    stream.close()
