"""The client against a real HTTP server on loopback that answers as the test tells it: whole answers, refusals,
connections that break. This file has the server and the tests of single calls."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn

from hypernode.client.aio import AsyncClient
from hypernode.client.errors import AnswerInvalid, ConnectionFailed
from hypernode.client.retry import Retry
from hypernode.client.sync import Client
from hypernode.jobs.lifecycle import JobState
from hypernode.jobs.model import JobDocument, parse
from hypernode.jobs.views import BatchItem, BatchView, JobPage, JobView, TaskCounts
from hypernode.kernel.errors import (
    InsufficientFunds,
    InvalidInput,
    JobEnded,
    NotFound,
    Overloaded,
    Unavailable,
    problem_of,
)
from hypernode.ledger.model import Shares

FAST = Retry(attempts=4, base_s=0.01, max_s=0.02, stream_attempts=4)
JOB_ID = "01890000-0000-7000-8000-000000000001"
DOCUMENT: JobDocument = parse({"version": 1, "cap": 10, "runtime": {"type": "python", "code": "pass"}})


class Drop(Exception):
    """Break the connection here."""


@dataclass
class Heard:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer: a body, or pieces with Drop where the connection breaks."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes | type[Drop] | float] | None = None
    """A float is a pause in seconds."""


Answering = Callable[[Heard], Reply]


class Server:
    """Answers with what `answer` returns, in a thread of its own."""

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        self.heard: list[Heard] = []
        self.answer: Answering = lambda _: Reply(500)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()  # from now on a connection waits for the thread rather than being refused
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._app,
            log_level="critical",
            lifespan="off",
            interface="asgi3",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def script(self, *replies: Reply) -> None:
        """Answer with these in turn, whatever is asked; the last one stays."""
        left = list(replies)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        heard = Heard(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        self.heard.append(heard)
        reply = self.answer(heard)
        content = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        pieces = [content] if reply.pieces is None else reply.pieces
        if pieces and pieces[0] is Drop:
            send.__self__.transport.abort()  # uvicorn would answer 500 otherwise
            raise Drop
        fields = {"content-type": "application/json", **reply.headers}
        if reply.pieces is None:
            fields["content-length"] = str(len(content))
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            elif isinstance(piece, bytes):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                raise Drop
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, "hnkey_a_b", retry=FAST) as made:
        yield made


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, "hnkey_a_b", retry=FAST) as made:
        yield made


def job_view(state: str = "queued", job_id: str = JOB_ID, **changes: Any) -> JobView:
    counts = TaskCounts(queued=1, live=0, succeeded=0, failed=0, cancelled=0, expired=0)
    fields: dict[str, Any] = {
        "id": job_id,
        "content_id": "0" * 64,
        "name": "job",
        "state": JobState(state),
        "tasks": counts,
        "size": 1,
        "cap": 10,
        "held": 10,
        "spent": 0,
        "shares": Shares(),
        "labels": {},
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "ended_at": None,
    }
    return JobView(**fields | changes)


def refusal(error: Any, **headers: str) -> Reply:
    fields = {"content-type": "application/problem+json", **headers}
    return Reply(error.status, problem_of(error), fields)


def test_submit_carries_key_document_and_idempotency_key(server: Server, client: Client) -> None:
    server.script(Reply(201, job_view()))
    assert client.submit(DOCUMENT).id == JOB_ID
    (heard,) = server.heard
    assert (heard.method, heard.path) == ("POST", "/api/v1/jobs")
    assert heard.headers["authorization"] == "Bearer hnkey_a_b"
    assert len(heard.headers["idempotency-key"]) >= 32
    assert parse(json.loads(heard.body)) == DOCUMENT


def test_a_submission_is_repeated_with_the_same_idempotency_key(server: Server, client: Client) -> None:
    server.script(Reply(503, headers={"retry-after": "0"}), Reply(pieces=[Drop]), Reply(201, job_view()))
    client.submit(DOCUMENT)
    assert len(server.heard) == 3
    assert len({heard.headers["idempotency-key"] for heard in server.heard}) == 1
    client.submit(DOCUMENT)
    assert server.heard[-1].headers["idempotency-key"] != server.heard[0].headers["idempotency-key"]


async def test_the_async_client_repeats_as_well(server: Server, async_client: AsyncClient) -> None:
    server.script(Reply(502), Reply(pieces=[b'{"id', Drop]), Reply(200, job_view("succeeded")))
    assert (await async_client.job(JOB_ID)).state is JobState.SUCCEEDED
    assert len(server.heard) == 3


def test_patience_ends_with_the_typed_error(server: Server, client: Client) -> None:
    server.script(refusal(Overloaded("slow down"), **{"retry-after": "0"}))
    with pytest.raises(Overloaded, match="slow down") as caught:
        client.job(JOB_ID)
    assert caught.value.retry_after_s == 0
    assert len(server.heard) == FAST.attempts


def test_a_long_retry_after_is_not_waited_for(server: Server, client: Client) -> None:
    server.script(Reply(503, headers={"retry-after": "3600"}))
    with pytest.raises(Unavailable) as caught:
        client.job(JOB_ID)
    assert caught.value.retry_after_s == 3600
    assert len(server.heard) == 1


@pytest.mark.parametrize("error", [NotFound("no such job"), InsufficientFunds("0.5 HYPER short"), JobEnded()])
def test_refusals_are_typed_and_not_repeated(server: Server, client: Client, error: Any) -> None:
    server.script(refusal(error))
    with pytest.raises(type(error)) as caught:
        client.cancel(JOB_ID)
    assert caught.value.code == error.code
    assert len(server.heard) == 1


def test_a_repeated_cancel_finds_its_own_work_done(server: Server, client: Client) -> None:
    server.script(Reply(pieces=[Drop]), refusal(JobEnded()), Reply(200, job_view("cancelled")))
    assert client.cancel(JOB_ID).state is JobState.CANCELLED
    assert [heard.method for heard in server.heard] == ["POST", "POST", "GET"]


def test_field_errors_arrive_with_their_paths(server: Server, client: Client) -> None:
    from hypernode.kernel.errors import FieldError

    server.script(refusal(InvalidInput("1 field is wrong", errors=[FieldError("$.cap", "is required")])))
    with pytest.raises(InvalidInput) as caught:
        client.submit(DOCUMENT)
    assert caught.value.errors[0].path == "$.cap"
    assert "$.cap: is required" in str(caught.value)


def test_answers_of_another_shape_are_a_typed_error(server: Server, client: Client) -> None:
    for body in (b"<html>", b"{}", b'{"id": 1}', b"\xff"):
        server.script(Reply(200, body))
        with pytest.raises(AnswerInvalid):
            client.job(JOB_ID)


def test_nobody_there(client: Client, server: Server) -> None:
    server.stop()
    with pytest.raises(ConnectionFailed, match=r"cannot connect|broke"):
        client.job(JOB_ID)


def test_pages_are_fetched_as_they_are_reached(server: Server, client: Client) -> None:
    def answer(heard: Heard) -> Reply:
        at = 2 if "cursor=c1" in heard.query else 0
        items = [job_view(job_id=f"{JOB_ID[:-1]}{at + n}") for n in range(2)]
        return Reply(200, JobPage(items, None if at else "c1"))

    server.answer = answer
    jobs = client.jobs(state="queued", labels={"team": "a b", "x": "y"})
    assert not server.heard
    assert [job.id[-1] for job in jobs] == ["0", "1", "2", "3"]
    assert server.heard[0].query == "state=queued&label=team%3Aa+b&label=x%3Ay"
    assert len(server.heard) == 2


def test_a_page_that_follows_itself_ends(server: Server, client: Client) -> None:
    server.script(Reply(200, JobPage([job_view()], "again")))
    with pytest.raises(AnswerInvalid, match="followed by itself"):
        list(client.jobs())


def test_batches_keep_their_order(server: Server, client: Client) -> None:
    taken = BatchView([BatchItem(job_view(), None), BatchItem(None, problem_of(InsufficientFunds("too little")))])
    server.script(Reply(201, taken))
    first, second = client.submit_many([DOCUMENT, DOCUMENT])
    assert first.job is not None and second.problem is not None
    assert second.problem.code == "ledger.insufficient_funds"
    assert len(json.loads(server.heard[0].body)["jobs"]) == 2


def test_ids_cannot_name_another_route(server: Server, client: Client) -> None:
    server.script(Reply(404))
    with pytest.raises(NotFound):
        client.job("../account?x=#")
    assert server.heard[0].path == "/api/v1/jobs/../account?x=#"  # decoded by the server after routing on %2F
    with pytest.raises(InvalidInput):
        client.job("")
    with pytest.raises(InvalidInput):
        client.job("..")
