"""A node notices that its coordinator, or the network in between, is gone without a word, and comes back."""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hypernode.agent.connection import IDLE_BEATS, Connection, paces
from hypernode.agent.outbox import Outbox
from hypernode.coordinator.keeper import SILENCE_BEATS
from hypernode.kernel import limits
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Ask, Capabilities
from hypernode.protocol.messages import CoordinatorMessage, LeaseRef, Welcome
from integration.agent_fake import Fake, serving
from integration.internet import ALLOWED, internet


class Idle:
    """The side of an agent that holds nothing. What happens to its connection stands in `seen`, in order."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[str] = asyncio.Queue()

    def capabilities(self) -> Capabilities:
        return Capabilities(cpu_milli=1000, memory_bytes=1 << 30, disk_bytes=1 << 30, slots=1)

    def draining(self) -> bool:
        return False

    def holds(self) -> tuple[LeaseRef, ...]:
        return ()

    def running(self) -> tuple[LeaseRef, ...]:
        return ()

    def connected(self, address: str, welcome: Welcome) -> None:
        self.seen.put_nowait("connected")

    def disconnected(self, reason: str) -> None:
        self.seen.put_nowait(reason)

    def receive(self, message: CoordinatorMessage) -> None:
        raise AssertionError(message)

    async def next(self) -> str:
        async with asyncio.timeout(60):
            return await self.seen.get()


@contextlib.asynccontextmanager
async def connecting(address: str) -> AsyncIterator[Idle]:
    party = Idle()
    connection = Connection(
        [address], KeyPair.generate(), Ask(1), party, Outbox(), tls=None, agent_version="test", jitter=random.random
    )
    task = asyncio.create_task(connection.run())
    try:
        yield party
    finally:
        task.cancel()
        await asyncio.wait([task])


class Relay:
    """Passes on what comes, until it is frozen: then connections stay open, and nothing comes through them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out_reader, out_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, out_writer), (out_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self.flowing.wait()
                sink.write(data)
        sink.close()


async def test_a_coordinator_that_says_nothing_any_more_is_left() -> None:
    async with serving(Fake()) as fake:
        relay = Relay(fake.port)
        async with relay as address, connecting(address) as node:
            assert await node.next() == "connected"
            relay.flowing.clear()
            assert await node.next() == "the coordinator does not answer any more"
            relay.flowing.set()
            assert await node.next() == "connected"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="networks of its own need Linux and root")
async def test_a_network_that_is_gone_is_noticed_by_the_next_heartbeat(tmp_path: Path) -> None:
    """By the kernel, that is, for which it takes seconds without an acknowledgement. Pings of a node that holds nothing
    are rarer, and what they say of it is something else."""
    with internet(tmp_path) as net:
        async with serving(Fake(), listener=net.listen(ALLOWED, 7070)), connecting(f"http://{ALLOWED}:7070") as node:
            assert await node.next() == "connected"
            cut = await asyncio.create_subprocess_exec("ip", "link", "set", "up0", "down")
            assert await cut.wait() == 0
            assert await node.next() != "the coordinator does not answer any more"


def test_one_late_beat_of_a_node_that_holds_nothing_does_not_end_its_connection() -> None:
    assert 2 * IDLE_BEATS < SILENCE_BEATS


def test_a_node_that_holds_nothing_beats_more_slowly_but_never_loses_its_lease_by_that() -> None:
    def of(lease_ms: int, heartbeat_ms: int) -> tuple[float, float]:
        return paces(Welcome(b"", lease_ms, heartbeat_ms, ()))

    assert of(limits.LEASE_MS, limits.HEARTBEAT_MS) == (2, 6)
    assert of(30_000, 3_000) == (3, 6)
    assert of(30_000, 20_000) == (20, 20), "the coordinator's own terms are kept"
    assert of(30_000, 1) == pytest.approx((0.1, 0.3))
