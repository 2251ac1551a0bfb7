"""A coordinator in a few lines, speaking the real protocol with real signatures, whose faults tests choose."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from hypernode.agent.home import Config, Home, Policy
from hypernode.jobs.logs import FrameReader
from hypernode.jobs.model import ArtifactRef, JobDocument, encode, parse
from hypernode.kernel import keys
from hypernode.kernel.errors import Unauthenticated
from hypernode.ledger.receipt import NODE_CONTEXT, ReceiptBody, decode_body
from hypernode.nodes.model import ENROL_CONTEXT, EnrolRequest
from hypernode.protocol import messages, tokens
from hypernode.protocol.messages import LeaseRef


class Fake:
    """State and behaviour of the fake. Every wait of a test is on an event of its own."""

    def __init__(self) -> None:
        self.key = keys.KeyPair.generate()
        self.secret = secrets.token_urlsafe(24)
        self.port = 0
        self.scheme = "http"
        self.enrolled: list[EnrolRequest] = []
        self.hellos: list[messages.Hello] = []
        self.heartbeats: list[messages.Heartbeat] = []
        self.artifacts: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, int, bytearray]] = {}
        self.logs: dict[LeaseRef, bytearray] = {}
        self.held: set[LeaseRef] = set()
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.drop_at_welcome: tuple[LeaseRef, ...] = ()
        self.refuse_hello: messages.Closing | None = None
        self.break_downloads: list[int] = []
        """Break the next downloads after so many bytes."""
        self.break_uploads: list[int] = []
        self.corrupt = False
        self.ack_reports = True
        self.ack_logs = True
        self.socket: _Socket | None = None
        self.seen: asyncio.Queue[Any] = asyncio.Queue()
        """Running, Report, Refuse and Drain messages, in order."""
        self.welcomed = asyncio.Event()
        self.log_arrived = asyncio.Event()
        self.asked = asyncio.Event()
        """Somebody asked for an artifact."""

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    # what tests do

    def add(self, data: bytes) -> ArtifactRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.artifacts[sha256] = data
        return ArtifactRef(sha256, len(data))

    def lease(self, document: JobDocument, task: int = 0, epoch: int = 1) -> LeaseRef:
        lease = LeaseRef(uuid.uuid4().bytes, task, epoch)
        self.held.add(lease)
        self.send(messages.Lease(lease, encode(document), document.cap))
        return lease

    def send(self, *what: messages.CoordinatorMessage) -> None:
        assert self.socket is not None
        self.socket.outgoing.put_nowait(list(what))

    def cut(self) -> None:
        """Break the connection."""
        assert self.socket is not None
        self.socket.outgoing.put_nowait(None)
        self.welcomed.clear()

    async def next(self, *kinds: type) -> Any:
        async with asyncio.timeout(60):
            while True:
                message = await self.seen.get()
                if not kinds or isinstance(message, kinds):
                    return message

    async def result(self) -> ReceiptBody:
        report = await self.next(messages.Report, messages.Refuse)
        assert isinstance(report, messages.Report), report
        return decode_body(report.body)

    def text(self, lease: LeaseRef, stream: int = 1) -> str:
        frames = FrameReader().feed(bytes(self.logs.get(lease, b"")))
        return b"".join(frame.data for frame in frames if frame.stream == stream).decode()

    # the HTTP and WebSocket application

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._connect(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _connect(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        challenge = messages.Challenge(messages.VERSION, secrets.token_bytes(32), self.key.public)
        await send({"type": "websocket.send", "bytes": _frame(challenge)})
        (hello,) = messages.decode_from_node((await receive())["bytes"])
        assert isinstance(hello, messages.Hello)
        signed = messages.hello_bytes(challenge, hello.node_key, hello.capabilities, hello.ask, hello.draining)
        keys.verify(hello.node_key, messages.HELLO_CONTEXT, signed, hello.signature)
        self.hellos.append(hello)
        if self.refuse_hello is not None:
            await send({"type": "websocket.send", "bytes": _frame(self.refuse_hello)})
            await send({"type": "websocket.close"})
            return
        welcome = messages.Welcome(b"session", 30_000, 200, self.drop_at_welcome)
        await send({"type": "websocket.send", "bytes": _frame(welcome)})
        self.socket = _Socket()
        self.welcomed.set()
        sending = asyncio.create_task(self._send(self.socket, send))
        try:
            while (event := await receive())["type"] == "websocket.receive":
                for message in messages.decode_from_node(event["bytes"]):
                    self._take(hello, message)
        finally:
            sending.cancel()

    async def _send(self, connection: _Socket, send: Any) -> None:
        while (frame := await connection.outgoing.get()) is not None:
            await send({"type": "websocket.send", "bytes": messages.encode(frame)})
        await send({"type": "websocket.close", "code": 1012})

    def _take(self, hello: messages.Hello, message: messages.NodeMessage) -> None:
        match message:
            case messages.Heartbeat():
                self.heartbeats.append(message)
            case messages.Log():
                stored = self.logs.setdefault(message.lease, bytearray())
                if message.offset <= len(stored):
                    stored += message.data[len(stored) - message.offset :]
                self.log_arrived.set()
                if self.ack_logs:
                    self.send(messages.LogAck(message.lease, len(stored)))
            case messages.Report():
                keys.verify(hello.node_key, NODE_CONTEXT, message.body, message.signature)
                body = decode_body(message.body)
                log = bytes(self.logs.get(message.lease, b""))
                assert body.run.log_bytes == len(log)
                assert body.run.log_root == hashlib.sha256(log).hexdigest()
                assert all(output.sha256 in self.artifacts for output in body.work.outputs)
                if self.ack_reports:
                    self.held.discard(message.lease)
                    self.send(messages.ReportAck(message.lease, "", 100, 90))
                self.seen.put_nowait(message)
            case messages.Refuse():
                self.held.discard(message.lease)
                self.send(messages.ReportAck(message.lease, message.code))
                self.seen.put_nowait(message)
            case _:
                self.seen.put_nowait(message)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((method, path))
        if path == "/api/v1/nodes/enrol":
            await self._enrol(await _body(receive), send)
            return
        try:
            token = tokens.read(headers["authorization"].removeprefix("Lease "), int(time.time()))
        except Unauthenticated as error:
            await _problem(send, error.status, error.code)
            return
        if token.lease not in self.held:
            await _problem(send, 401, "auth.required")
            return
        if path.startswith("/api/v1/artifacts/"):
            await self._download(path.rsplit("/", 1)[1], headers, send)
            return
        if path == "/api/v1/uploads":
            wanted = json.loads(await _body(receive))
            upload = uuid.uuid4().hex
            self.uploads[upload] = (wanted["sha256"], wanted["size_bytes"], bytearray())
            if not wanted["size_bytes"]:
                self.artifacts[wanted["sha256"]] = b""
            await self._view(upload, send, 201)
            return
        upload = path.rsplit("/", 1)[1]
        if method == "PATCH":
            await self._patch(upload, int(headers["upload-offset"]), receive, send)
            return
        await self._view(upload, send, 200)
        return

    async def _enrol(self, body: bytes, send: Any) -> None:
        request = msgspec.json.decode(body, type=EnrolRequest)
        if request.secret != self.secret:
            await _problem(send, 403, "node.join_token_invalid")
            return
        digest = hashlib.sha256(request.secret.encode()).digest()
        keys.verify(request.public_key, ENROL_CONTEXT, digest, request.signature)
        self.enrolled.append(request)
        answer = {"node": request.public_key, "project_id": str(uuid.uuid4()), "project": "demo"}
        await _answer(send, 201, {**answer, "coordinator_key": self.key.public})

    async def _download(self, sha256: str, headers: dict[str, str], send: Any) -> None:
        self.asked.set()
        data = self.artifacts.get(sha256)
        if data is None:
            await _problem(send, 404, "not_found")
            return
        if self.corrupt:
            data = bytes(len(data))
        start = 0
        if "range" in headers:
            self.ranges.append(headers["range"])
            start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
        length = [(b"content-length", str(len(data) - start).encode())]
        await send({"type": "http.response.start", "status": 206 if start else 200, "headers": length})
        if self.break_downloads:
            end = start + self.break_downloads.pop(0)
            await send({"type": "http.response.body", "body": data[start:end], "more_body": True})
            raise ConnectionResetError("the test breaks this download")
        await send({"type": "http.response.body", "body": data[start:]})

    async def _patch(self, upload: str, offset: int, receive: Any, send: Any) -> None:
        sha256, size_bytes, stored = self.uploads[upload]
        if offset != len(stored):
            await _body(receive)
            await _problem(send, 409, "offset.mismatch")
            return
        data = await _body(receive)
        if self.break_uploads:
            stored += data[: self.break_uploads.pop(0)]
            raise ConnectionResetError("the test breaks this upload")
        stored += data
        if len(stored) == size_bytes:
            assert hashlib.sha256(stored).hexdigest() == sha256
            self.artifacts[sha256] = bytes(stored)
        await self._view(upload, send, 200)

    async def _view(self, upload: str, send: Any, status: int) -> None:
        sha256, size_bytes, stored = self.uploads[upload]
        view = {"id": upload, "sha256": sha256, "size_bytes": size_bytes, "offset": len(stored)}
        await _answer(send, status, {**view, "complete": sha256 in self.artifacts})


class _Socket:
    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[list[Any] | None] = asyncio.Queue()


def _frame(message: messages.CoordinatorMessage) -> bytes:
    return messages.encode([message])


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            return body


async def _answer(send: Any, status: int, value: Any, kind: str = "application/json") -> None:
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def _problem(send: Any, status: int, code: str) -> None:
    value = {"type": f"urn:hypernode:problem:{code}", "title": code, "status": status, "code": code}
    await _answer(send, status, value, "application/problem+json")


@asynccontextmanager
async def serving(
    fake: Fake, *, certificate: tuple[Path, Path] | None = None, listener: socket.socket | None = None
) -> AsyncIterator[Fake]:
    """The fake on a free port, or again on the one it had, or on a socket that listens already; with TLS if given
    (certificate, key)."""
    if listener is None:
        listener = socket.create_server(("127.0.0.1", fake.port), backlog=64)
    fake.port = listener.getsockname()[1]
    options: dict[str, Any] = {}
    if certificate is not None:
        fake.scheme = "https"
        options = {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}
    config = uvicorn.Config(
        fake.app,
        interface="asgi3",
        ws="websockets-sansio",
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve([listener]))
    try:
        yield fake
    finally:
        server.should_exit = True
        await running
        listener.close()


def make_home(path: Path, fake: Fake, **config: Any) -> Home:
    """A home as node:init leaves it."""
    home = Home(path)
    home.create()
    home.key_or_new()
    policy = config.pop("policy", Policy(slots=4))
    project: dict[str, Any] = {"project_id": str(uuid.uuid4()), "project": "demo", "coordinator_key": fake.key.public}
    home.write_config(
        Config(name="n1", addresses=(fake.address,), pinned=fake.scheme == "https", policy=policy, **project, **config)
    )
    return home


def job(code: str = "pass", **fields: Any) -> JobDocument:
    """A Python job that runs `code`."""
    runtime = fields.pop("runtime", {"type": "python", "code": code})
    resources = {"cpu_milli": 500, "memory_bytes": "256MiB", "disk_bytes": "32MiB"}
    return parse(
        {"version": 1, "runtime": runtime, "cap": 10_000_000, "resources": resources, "timeout_s": 60, **fields}
    )
