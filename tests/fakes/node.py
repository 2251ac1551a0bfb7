"""A node in a few lines: enrols over HTTP, speaks the real protocol with real keys, and misbehaves when told to.

It does nothing by itself but keep what it is sent: every message it says is one a test asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hypernode.jobs.logs import STDOUT, LogFrame, encode_frame
from hypernode.kernel import limits
from hypernode.kernel.canonical import content_id
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.receipt import NODE_CONTEXT, Outcome, OutputFile, ReceiptBody, Run, Work, encode_body
from hypernode.nodes.model import ENROL_CONTEXT, Ask, Capabilities, Enrolment, EnrolRequest, JoinToken, SandboxOffer
from hypernode.protocol import messages, tokens
from hypernode.protocol.messages import LeaseRef

M = TypeVar("M")
WAIT_S = 20.0

CAPABILITIES = Capabilities(
    cpu_milli=4000,
    memory_bytes=8 * limits.GIB,
    disk_bytes=64 * limits.GIB,
    slots=4,
    operating_system="Linux",
    architecture="x86_64",
    sandboxes=(SandboxOffer(name="fake", isolation=2, runtimes=("python",)),),
)


class Closed(Exception):
    """The coordinator ended the connection."""

    def __init__(self, code: int | None, closing: messages.Closing | None) -> None:
        super().__init__(code, closing)
        self.code = code
        self.closing = closing


def log_bytes(*texts: str) -> bytes:
    """A log as a node writes it: one frame a text."""
    return b"".join(encode_frame(LogFrame(STDOUT, 1_700_000_000_000, text.encode())) for text in texts)


class FakeNode:
    """One identity and at most one connection."""

    def __init__(
        self,
        url: str,
        *,
        key: KeyPair | None = None,
        name: str = "fake",
        capabilities: Capabilities = CAPABILITIES,
        ask: Ask = Ask(100),  # noqa: B008  frozen
    ) -> None:
        self.url = url
        self.key = key or KeyPair.generate()
        self.name = name
        self.capabilities = capabilities
        self.ask = ask
        self.challenge: messages.Challenge | None = None
        self.welcome: messages.Welcome | None = None
        self._socket: ClientConnection | None = None
        self._inbox: list[messages.CoordinatorMessage] = []
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._closed: Closed | None = None
        self.logs: dict[LeaseRef, bytes] = {}

    # ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────────────

    def enrol_request(self, token: str, **changes: Any) -> EnrolRequest:
        """What a node sends to be let in by a join token."""
        secret = JoinToken.parse(token).secret
        signature = self.key.sign(ENROL_CONTEXT, hashlib.sha256(secret.encode()).digest())
        return msgspec.structs.replace(EnrolRequest(secret, self.key.public, self.name, signature), **changes)

    async def enrol(self, token: str) -> Enrolment:
        """Be let in."""
        async with httpx.AsyncClient(base_url=self.url) as http:
            answer = await http.post("/api/v1/nodes/enrol", content=msgspec.json.encode(self.enrol_request(token)))
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=Enrolment)

    def authorization(self, lease: LeaseRef, *, key: KeyPair | None = None, now_s: int | None = None) -> dict[str, str]:
        """The header of a request for the artifacts of a lease."""
        token = tokens.mint(key or self.key, lease, int(time.time()) if now_s is None else now_s)
        return {"authorization": f"{tokens.SCHEME} {token}"}

    async def upload(self, lease: LeaseRef, data: bytes) -> OutputFile:
        """Deliver an output named `out.bin`."""
        sha256 = hashlib.sha256(data).hexdigest()
        headers = self.authorization(lease)
        async with httpx.AsyncClient(base_url=self.url, headers=headers) as http:
            answer = await http.post("/api/v1/uploads", json={"sha256": sha256, "size_bytes": len(data)})
            assert answer.status_code == 201, answer.text
            upload = answer.json()
            if not upload["complete"]:
                answer = await http.patch(
                    f"/api/v1/uploads/{upload['id']}", content=data, headers={"upload-offset": str(upload["offset"])}
                )
                assert answer.status_code == 200 and answer.json()["complete"], answer.text
        return OutputFile("out.bin", sha256, len(data))

    # ── the connection ──────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self) -> messages.Challenge:
        """Connect, and hear the challenge; nothing is said yet."""
        url = "ws" + self.url.removeprefix("http") + messages.PATH
        self._socket = await connect(url, compression=None, max_size=limits.FRAME_BYTES, proxy=None, ping_interval=None)
        self._inbox.clear()
        self._closed, self.welcome = None, None
        self._reader = asyncio.create_task(self._read(self._socket))
        self.challenge = await self.next(messages.Challenge)
        return self.challenge

    def hello(
        self, challenge: messages.Challenge, holds: Sequence[LeaseRef] = (), draining: bool = False
    ) -> messages.Hello:
        """The right answer to a challenge."""
        signed = messages.hello_bytes(challenge, self.key.public, self.capabilities, self.ask, draining)
        return messages.Hello(
            version=messages.VERSION,
            node_key=self.key.public,
            agent_version="test",
            capabilities=self.capabilities,
            ask=self.ask,
            holds=tuple(holds),
            signature=self.key.sign(messages.HELLO_CONTEXT, signed),
            draining=draining,
        )

    async def connect(self, holds: Sequence[LeaseRef] = ()) -> messages.Welcome:
        """Connect as a node in order does. Raises Closed when it is not wanted."""
        await self.say(self.hello(await self.open(), holds))
        self.welcome = await self.next(messages.Welcome)
        return self.welcome

    async def say(self, *what: messages.NodeMessage) -> None:
        """Send messages in one frame."""
        await self.say_raw(messages.encode(list(what)))

    async def say_raw(self, frame: bytes | str) -> None:
        """Send any frame at all."""
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosed):  # what the coordinator had to say about it is in the inbox
            await self._socket.send(frame)

    async def next(self, kind: type[M], where: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of a kind that has not been taken yet. Raises Closed when none can come any more."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for message in self._inbox:
                    if isinstance(message, kind) and where(message):
                        self._inbox.remove(message)
                        return message
                if self._closed is not None:
                    raise self._closed
                self._changed.clear()
                await self._changed.wait()

    async def closed(self) -> Closed:
        """How the coordinator ended the connection."""
        async with asyncio.timeout(WAIT_S):
            while self._closed is None:
                self._changed.clear()
                await self._changed.wait()
        return self._closed

    async def disconnect(self) -> None:
        """Leave without a word."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def round_trip(self) -> None:
        """Return when the coordinator has read all that was said: it answers what comes last, about no lease."""
        nobody = LeaseRef(b"\x00" * 16, 0, 1)
        await self.say(messages.Running(nobody))
        await self.next(messages.Drop, lambda drop: drop.lease == nobody)

    def waiting(self, kind: type[M]) -> list[M]:
        """Messages of a kind that nobody has taken yet."""
        return [message for message in self._inbox if isinstance(message, kind)]

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                assert isinstance(frame, bytes)
                self._inbox += messages.decode_from_coordinator(frame)
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:
            closing = next((m for m in self._inbox if isinstance(m, messages.Closing)), None)
            self._closed = Closed(socket.close_code, closing)
            self._changed.set()

    # ── a task ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def lease(self) -> messages.Lease:
        """The next task it is given."""
        return await self.next(messages.Lease)

    async def log(self, lease: LeaseRef, data: bytes) -> int:
        """Send more of a lease's log; returns what the coordinator says it has."""
        before = self.logs.get(lease, b"")
        self.logs[lease] = before + data
        await self.say(messages.Log(lease, len(before), data))
        return (await self.next(messages.LogAck, lambda ack: ack.lease == lease)).offset

    def body(
        self,
        lease: messages.Lease,
        *,
        outcome: Outcome = Outcome.EXITED,
        exit_code: int | None = 0,
        signal: int | None = None,
        outputs: Sequence[OutputFile] = (),
        wall_ms: int = 1000,
        **run: Any,
    ) -> ReceiptBody:
        """An honest statement about a lease; `run` changes fields of that half."""
        log = self.logs.get(lease.lease, b"")
        half = Run(
            job_id=str(uuid_of(lease.lease)),
            epoch=lease.lease.epoch,
            node=self.key.public,
            started_at_ms=1_700_000_000_000,
            ended_at_ms=1_700_000_000_000 + min(wall_ms, 10**9),
            wall_ms=wall_ms,
            cpu_ms=min(wall_ms, 10**9),
            memory_peak_bytes=limits.MIB,
            log_bytes=len(log),
            log_root=content_id(log),
            sandbox="fake",
            isolation=2,
        )
        return ReceiptBody(
            work=Work(
                job=content_id(lease.document),
                task=lease.lease.task,
                outcome=outcome,
                exit_code=exit_code,
                signal=signal,
                outputs=tuple(outputs),
            ),
            run=msgspec.structs.replace(half, **run),
        )

    def signed(self, lease: LeaseRef, body: ReceiptBody) -> messages.Report:
        """A report of a statement."""
        data = encode_body(body)
        return messages.Report(lease, data, self.key.sign(NODE_CONTEXT, data))

    async def report(self, lease: messages.Lease, body: ReceiptBody | None = None, **said: Any) -> messages.ReportAck:
        """Report a lease and hear what becomes of it."""
        return await self.send_report(self.signed(lease.lease, body or self.body(lease, **said)))

    async def send_report(self, report: messages.Report) -> messages.ReportAck:
        """Send a report and hear what becomes of it."""
        await self.say(report)
        return await self.next(messages.ReportAck, lambda ack: ack.lease == report.lease)

    async def start(self) -> messages.Lease:
        """Take the next task and say that it runs."""
        lease = await self.lease()
        await self.say(messages.Running(lease.lease))
        return lease

    async def finish(self, **said: Any) -> messages.ReportAck:
        """Take the next task, run it and report it."""
        return await self.report(await self.start(), **said)


def uuid_of(lease: LeaseRef) -> UUID:
    """The job of a lease."""
    return UUID(bytes=lease.job_id)
