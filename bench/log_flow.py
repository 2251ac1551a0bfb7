"""Logs through one coordinator: how much, how soon, and what a reader that stalls costs the others."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.load import document
from bench.measuring import Say
from bench.network import ASK, BenchNetwork, scratch
from bench.results import Report, aim, aim_least, figure, percentile
from bench.usage import cpu_s
from hypernode.agent.enrol import enrol
from hypernode.agent.home import Home
from hypernode.client import AsyncClient, Client
from hypernode.jobs.logs import STDOUT, LogFrame, encode_frame
from hypernode.kernel import limits
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Capabilities, SandboxOffer
from hypernode.protocol import messages

FRAME_MESSAGES: Final = 8
"""Log messages in one frame of the protocol."""
_LINE: Final = encode_frame(LogFrame(STDOUT, 1_700_000_000_000, b"x" * 1011))


class LogNode:
    """A node that runs nothing and logs a lot: as fast as its windows allow, for each lease it holds."""

    def __init__(self, key: KeyPair, url: str, slots: int) -> None:
        self._key = key
        self._url = url
        self._capabilities = Capabilities(
            cpu_milli=1_000_000,
            memory_bytes=1 << 40,
            disk_bytes=1 << 40,
            slots=slots,
            sandboxes=(SandboxOffer(name="bench-log", isolation=0, runtimes=("python",)),),
        )
        self._socket: ClientConnection | None = None
        self.leases: list[messages.LeaseRef] = []
        self.acknowledged: dict[messages.LeaseRef, int] = {}
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Connect as a node does."""
        address = f"ws://{urlsplit(self._url).netloc}{messages.PATH}"
        self._socket = await connect(address, compression=None, proxy=None, max_size=limits.FRAME_BYTES)
        [challenge] = messages.decode_from_coordinator(await self._frame())
        assert isinstance(challenge, messages.Challenge)
        signed = messages.hello_bytes(challenge, self._key.public, self._capabilities, ASK, False)
        await self.say(
            messages.Hello(
                version=messages.VERSION,
                node_key=self._key.public,
                agent_version="bench",
                capabilities=self._capabilities,
                ask=ASK,
                holds=(),
                signature=self._key.sign(messages.HELLO_CONTEXT, signed),
            )
        )
        self._reader = asyncio.create_task(self._read())

    async def say(self, *said: messages.NodeMessage) -> None:
        """Send one frame."""
        assert self._socket is not None
        await self._socket.send(messages.encode(list(said)))

    async def until(self, leases: int) -> None:
        """Wait until so many leases are held."""
        async with asyncio.timeout(60):
            while len(self.leases) < leases:
                self._news.clear()
                await self._news.wait()

    async def flood(self, lease: messages.LeaseRef, size: int) -> None:
        """Log `size` bytes, never more than a window ahead of what is acknowledged."""
        piece = _LINE * (limits.LOG_CHUNK_BYTES // len(_LINE))
        offset = 0
        while offset < size:
            while offset + FRAME_MESSAGES * len(piece) - self.acknowledged.get(lease, 0) > limits.LOG_WINDOW_BYTES:
                self._news.clear()
                await self._news.wait()
            frame = [messages.Log(lease, offset + n * len(piece), piece) for n in range(FRAME_MESSAGES)]
            await self.say(*frame)
            offset += FRAME_MESSAGES * len(piece)
        while self.acknowledged.get(lease, 0) < offset:
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Go."""
        assert self._socket is not None
        assert self._reader is not None
        self._reader.cancel()
        await self._socket.close()

    async def _frame(self) -> bytes:
        assert self._socket is not None
        data = await self._socket.recv()
        assert isinstance(data, bytes)
        return data

    async def _read(self) -> None:
        while True:
            for message in messages.decode_from_coordinator(await self._frame()):
                if isinstance(message, messages.Lease):
                    self.leases.append(message.lease)
                elif isinstance(message, messages.LogAck):
                    self.acknowledged[message.lease] = message.offset
            self._news.set()


class _Measured(msgspec.Struct):
    seconds: float
    bytes: int
    cpu_s: float
    first_ms: list[float]
    beside_ms: list[float]
    read_bytes: int


class Stalled:
    """A reader that asks for a log and never reads the answer."""

    def __init__(self, url: str, key: str, job_id: str, task: int) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = f"/api/v1/jobs/{job_id}/logs/stream?task={task}"
        head = f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n\r\n"
        self._socket.sendall(head.encode())

    def close(self) -> None:
        """Go."""
        self._socket.close()


async def _measure(network: BenchNetwork, key: KeyPair, tasks: int, size: int, lines: int, readers: int) -> _Measured:
    node = LogNode(key, network.url, tasks + 1)
    await node.join()
    pids = {"coordinator": network.pids["coordinator"]}
    async with AsyncClient(network.url, network.client_key) as client:
        # A quiet task beside the loud ones: how soon its lines are seen, before and after readers of theirs stalled.
        quiet = await client.submit(document())
        await node.until(1)
        lease = node.leases[0]
        await node.say(messages.Running(lease))
        seen: asyncio.Queue[float] = asyncio.Queue()

        async def watch() -> None:
            async for _ in client.logs(quiet.id, follow=True):
                seen.put_nowait(time.perf_counter())

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0.5)
        offset = 0

        async def line() -> float:
            nonlocal offset
            data = encode_frame(LogFrame(STDOUT, 1_700_000_000_000, b"a line\n"))
            said = time.perf_counter()
            await node.say(messages.Log(lease, offset, data))
            offset += len(data)
            async with asyncio.timeout(20):
                return (await seen.get() - said) * 1000

        async def say_lines() -> list[float]:
            taken = []
            for _ in range(lines):
                taken.append(await line())
                await asyncio.sleep(0.02)
            return taken

        first = await say_lines()

        loud = await client.submit(document(tasks=tasks))
        await node.until(1 + tasks)
        held = node.leases[1:]
        await node.say(*(messages.Running(one) for one in held))
        read = 0

        async def follow(task: int) -> None:
            nonlocal read
            async for event in client.logs(loud.id, task=task, follow=True):
                read += len(event.data)

        following = [asyncio.create_task(follow(task)) for task in range(readers)]
        stalled = [Stalled(network.url, network.client_key, loud.id, one.task) for one in held[-2:]]
        await asyncio.sleep(0.5)
        cpu, began = cpu_s(pids)["coordinator"], time.perf_counter()
        await asyncio.gather(*(node.flood(one, size) for one in held))
        seconds = time.perf_counter() - began
        used = cpu_s(pids)["coordinator"] - cpu
        beside = await say_lines()
        for task in (watching, *following):
            task.cancel()
        await asyncio.wait([watching, *following])
        for one in stalled:
            one.close()
    acknowledged = sum(node.acknowledged[one] for one in held)
    await node.close()
    return _Measured(seconds, acknowledged, used, first, beside, read)


def logs(quick: bool, say: Say) -> Report:
    """MB/s of logs, the first line's delay, and two readers that stall."""
    tasks, size, lines, readers = (8, 4 << 20, 30, 1) if quick else (32, 15 << 20, 200, 1)
    with scratch() as folder, BenchNetwork(folder, nodes=0) as network:
        home = Home(folder / "log-node")
        with Client(network.url, network.operator_key) as operator:
            token = operator.join_token().token
        asyncio.run(enrol(home, token, name=f"log-{uuid7()}"[:20], ask=ASK))
        say(f"{lines} lines, then {tasks} tasks that log {size >> 20} MiB each")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_measure(network, KeyPair(home.key().seed), tasks, size, lines, readers))
    rate = figure("logs taken, acknowledged", "MB/s", found.bytes / found.seconds / 1e6, [])
    first = figure("a line visible to a follower, p99", "ms", percentile(found.first_ms, 0.99), [])
    return Report(
        title="Logs",
        method=f"One node holds {tasks} tasks and logs {size >> 20} MiB for each as fast as the protocol's window of "
        f"{limits.LOG_WINDOW_BYTES >> 20} MiB a task lets it; everything acknowledged is in the coordinator's files. "
        f"{readers} reader follows one of the tasks to its end, two others open a stream and never read. Besides, one "
        "quiet task says a line at a time: from the node's sending to the client's receiving it over an open stream, "
        "before the flood, and after it, when the two that never read have megabytes waiting for them. Node, readers "
        "and coordinator share the machine.",
        parameters={"tasks": tasks, "bytes_a_task": size, "lines": lines},
        figures=[
            rate,
            figure("coordinator CPU per MB", "ms", found.cpu_s * 1000 / (found.bytes / 1e6), []),
            figure("a line visible to a follower, p50", "ms", percentile(found.first_ms, 0.5), []),
            first,
            figure("a line visible beside two stalled readers, p50", "ms", percentile(found.beside_ms, 0.5), []),
            figure("a line visible beside two stalled readers, p99", "ms", percentile(found.beside_ms, 0.99), []),
        ],
        aims=[aim_least("logs through one coordinator", rate, 50.0), aim("first line visible, p99", first, 200.0)],
        checks={"acknowledged_bytes": found.bytes, "read_by_the_follower": found.read_bytes},
    )
