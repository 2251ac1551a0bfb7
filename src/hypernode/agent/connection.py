"""The node's one connection: outwards, to whichever coordinator answers, kept up for as long as the agent runs."""

from __future__ import annotations

import asyncio
import logging
import random
import socket as sockets
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from hypernode.agent import trust
from hypernode.agent.outbox import Outbox
from hypernode.kernel import keys, limits
from hypernode.kernel.errors import InvalidInput, Malformed, Refused, Unavailable
from hypernode.nodes.model import Ask, Capabilities
from hypernode.protocol import messages
from hypernode.protocol.messages import (
    Challenge,
    Closing,
    CoordinatorMessage,
    Heartbeat,
    Hello,
    LeaseRef,
    NodeMessage,
    Welcome,
)

log = logging.getLogger(__name__)

_M = TypeVar("_M", Challenge, Welcome)

OPEN_S: Final = 15.0
PING_ANSWER_S: Final = 5.0
BACKOFF_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
HEARTBEAT_BOUNDS_MS: Final = (100, 60_000)
IDLE_BEATS: Final = 3
"""A node that holds nothing beats so many times more slowly: there is nothing to be billed or to be forgotten, and
thousands of idle nodes are most of what a quiet coordinator has to do. Less than half of what it takes for silence."""
PING_BEATS: Final = 5
"""How often a node asks whether the coordinator is still there, in heartbeats: its journal survives a late answer. A
network that is gone is noticed as soon, by the kernel."""
IDLE_PING_BEATS: Final = 15
"""The same of a node that holds nothing, and loses nothing by a late answer but work it could have had."""


class ConnectionRefused(Refused):
    """The coordinator ended the connection and said that coming back will not help."""

    code = "node.connection_refused"


class _Lost(Exception):
    """This connection is over; try another."""


class Party(Protocol):
    """The side of the agent that the connection talks to. All called in the event loop, none may block."""

    def capabilities(self) -> Capabilities:
        """What is offered now."""

    def draining(self) -> bool:
        """Whether nothing new is wanted."""

    def holds(self) -> tuple[LeaseRef, ...]:
        """Every lease that is held."""

    def running(self) -> tuple[LeaseRef, ...]:
        """Those whose process runs."""

    def connected(self, address: str, welcome: Welcome) -> None:
        """A connection is up; leases in `welcome.drop` are gone. Whatever matters is to be said (again) now."""

    def disconnected(self, reason: str) -> None:
        """It is down, or another attempt failed."""

    def receive(self, message: CoordinatorMessage) -> None:
        """A message arrived."""


class Connection:
    """Keeps the node connected. What is put into `outbox` goes out in frames while it is."""

    def __init__(
        self,
        addresses: Iterable[str],
        key: keys.KeyPair,
        ask: Ask,
        party: Party,
        outbox: Outbox,
        *,
        tls: ssl.SSLContext | None,
        agent_version: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`tls` is used for https addresses. `jitter` gives numbers in [0, 1)."""
        self._addresses = tuple(addresses)
        self._key = key
        self._ask = ask
        self._party = party
        self._outbox = outbox
        self._tls = tls
        self._version = agent_version
        self._jitter = jitter

    async def run(self) -> None:
        """Stay connected until cancelled. Raises ConnectionRefused when no coordinator wants this node back."""
        failures = 0
        turn = 0
        while True:
            address = self._addresses[turn % len(self._addresses)]
            try:
                try:
                    await self._once(address)
                finally:
                    self._outbox.clear()
            except _Lost as lost:
                failures = 0  # it had been up: the next try is near, and at another address if there is one
                turn += 1
                reason = str(lost)
            except (OSError, TimeoutError, WebSocketException, Unavailable, Malformed, InvalidInput) as error:
                failures += 1
                turn += 1
                reason = f"{address}: {str(error) or type(error).__name__}"
            log.warning("not connected: %s", reason)
            self._party.disconnected(reason)
            # Full jitter: after an outage thousands of nodes come back, and a TLS handshake costs a millisecond.
            # It grows with each round of all addresses, so that another coordinator is found at once.
            ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(failures // len(self._addresses), 16))
            await asyncio.sleep(self._jitter() * ceiling)

    async def _once(self, address: str) -> None:
        """One connection from its opening to its end, which is always an exception."""
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        url = f"{'wss' if secure else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}{messages.PATH}"
        async with asyncio.timeout(OPEN_S):
            socket = await connect(
                url,
                ssl=self._tls if secure else None,
                compression=None,
                max_size=limits.FRAME_BYTES,
                max_queue=64,
                proxy=None if trust.is_loopback(parts.hostname or "") else True,
                ping_interval=None,
                close_timeout=2,
                user_agent_header=None,
            )
        try:
            async with asyncio.timeout(OPEN_S):
                welcome = await self._handshake(socket)
            self._party.connected(address, welcome)
            log.info("connected to %s", address)
            await self._serve(socket, welcome)
        finally:
            await socket.close()

    async def _handshake(self, socket: ClientConnection) -> Welcome:
        challenge = await self._expect(socket, Challenge)
        if challenge.version != messages.VERSION:
            raise ConnectionRefused(
                f"the coordinator speaks version {challenge.version} of the protocol, this node {messages.VERSION}; "
                "update hypernode"
            )
        # Coordinators are equal, so any key will do; which server this is, TLS has settled.
        keys.public_bytes(challenge.coordinator_key)
        capabilities, draining = self._party.capabilities(), self._party.draining()
        signed = messages.hello_bytes(challenge, self._key.public, capabilities, self._ask, draining)
        hello = Hello(
            version=messages.VERSION,
            node_key=self._key.public,
            agent_version=self._version,
            capabilities=capabilities,
            ask=self._ask,
            holds=self._party.holds()[: limits.NODE_LEASES],
            signature=self._key.sign(messages.HELLO_CONTEXT, signed),
            draining=draining,
        )
        await socket.send(messages.encode(list[NodeMessage]([hello])))
        return await self._expect(socket, Welcome)

    async def _expect(self, socket: ClientConnection, kind: type[_M]) -> _M:
        """The next frame must hold exactly this message."""
        received = _decode(await socket.recv())
        if len(received) == 1 and isinstance(received[0], kind):
            return received[0]
        for message in received:
            if isinstance(message, Closing):
                _closed(message)
        raise Malformed(f"expected {kind.__name__}, got {[type(message).__name__ for message in received]}")

    async def _serve(self, socket: ClientConnection, welcome: Welcome) -> None:
        heartbeat_s, idle_s = paces(welcome)
        _bound_silence(socket, PING_BEATS * heartbeat_s)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(socket))
                group.create_task(self._send(socket))
                group.create_task(self._heartbeat(heartbeat_s, idle_s))
                group.create_task(self._watch(socket, heartbeat_s))
        except BaseExceptionGroup as group_error:
            raise _cause(group_error) from group_error

    async def _receive(self, socket: ClientConnection) -> None:
        async for frame in socket:
            for message in _decode(frame):
                if isinstance(message, Closing):
                    _closed(message)
                self._party.receive(message)
        raise _Lost("the coordinator closed the connection")

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            await self._outbox.filled.wait()
            frame = self._outbox.frame()
            await socket.send(messages.encode(frame))

    async def _heartbeat(self, interval_s: float, idle_s: float) -> None:
        while True:
            holds = self._party.holds()[: limits.NODE_LEASES]
            self._outbox.put(Heartbeat(holds, self._party.running()))
            await asyncio.sleep(interval_s if holds else idle_s)

    async def _watch(self, socket: ClientConnection, interval_s: float) -> None:
        """Notice a half-open connection: one on which nothing arrives any more and nothing says so."""
        while True:
            await asyncio.sleep((PING_BEATS if self._party.holds() else IDLE_PING_BEATS) * interval_s)
            answered = await socket.ping()
            try:
                await asyncio.wait_for(answered, max(PING_ANSWER_S, 2 * interval_s))
            except TimeoutError:
                raise _Lost("the coordinator does not answer any more") from None


def paces(welcome: Welcome) -> tuple[float, float]:
    """Seconds from one heartbeat to the next, of a node that holds leases and of one that holds nothing. The latter
    beats five times in the length of a lease where the coordinator's terms allow it: after that it counts as dead."""
    low, high = HEARTBEAT_BOUNDS_MS
    heartbeat_s = min(max(welcome.heartbeat_ms, low), high) / 1000
    return heartbeat_s, max(heartbeat_s, min(IDLE_BEATS * heartbeat_s, welcome.lease_ms / 5000))


def _bound_silence(socket: ClientConnection, seconds: float) -> None:
    """End the connection when what was sent has not been acknowledged by the other kernel for so long (RFC 5482): a
    network that is gone is noticed by the next heartbeat then. Without it, it would take a quarter of an hour of
    retransmissions, or the next ping. Not every system can."""
    if sys.platform == "linux":
        raw = socket.transport.get_extra_info("socket")
        raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, int(seconds * 1000))


def _decode(frame: str | bytes) -> list[CoordinatorMessage]:
    if isinstance(frame, str):
        raise Malformed("a text frame, where the protocol has binary ones")
    return messages.decode_from_coordinator(frame)


def _closed(message: Closing) -> None:
    text = f"{message.code}: {message.detail}" if message.detail else message.code
    if message.retry:
        raise _Lost(f"closed by the coordinator ({text})")
    raise ConnectionRefused(text, extra={"code": message.code})


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that says why a connection ended: what is not merely its loss comes first."""
    errors = list(_flat(group))
    lost = [error for error in errors if isinstance(error, OSError | TimeoutError | WebSocketException | _Lost)]
    other = [error for error in errors if error not in lost]
    if other:
        return other[0]
    return lost[0] if isinstance(lost[0], _Lost) else _Lost(str(lost[0]) or "connection lost")


def _flat(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _flat(part)
    else:
        yield error
