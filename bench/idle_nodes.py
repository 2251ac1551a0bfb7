"""What nodes that have nothing to do cost a coordinator: thousands of connections that beat."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.measuring import CheckFailed, Say
from bench.network import ASK, BenchNetwork, scratch
from bench.pipeline import rooms
from bench.results import Report, aim, figure
from bench.usage import cpu_s, memory
from hypernode.agent.connection import IDLE_BEATS, IDLE_PING_BEATS
from hypernode.db.pool import Connection
from hypernode.kernel import limits
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Capabilities, SandboxOffer
from hypernode.nodes.store import queries
from hypernode.protocol import messages

CAPABILITIES: Final = Capabilities(
    cpu_milli=4000,
    memory_bytes=8 << 30,
    disk_bytes=64 << 30,
    slots=4,
    operating_system="Linux",
    architecture="x86_64",
    sandboxes=(SandboxOffer(name="bench-idle", isolation=0, runtimes=("python",)),),
)


class Crowd(msgspec.Struct, frozen=True):
    """Which nodes are to be there."""

    url: str
    dsn: str
    count: int


class Idle:
    """One node that connects, beats and does nothing else."""

    def __init__(self) -> None:
        self._key = KeyPair.generate()
        self.public: Final = self._key.public
        self._socket: ClientConnection | None = None

    async def join(self, url: str) -> None:
        """Connect as a node does."""
        address = urlsplit(url)
        self._socket = await connect(
            f"ws://{address.netloc}{messages.PATH}", compression=None, proxy=None, ping_interval=None, open_timeout=60
        )
        [challenge] = messages.decode_from_coordinator(await self._frame())
        assert isinstance(challenge, messages.Challenge)
        signed = messages.hello_bytes(challenge, self.public, CAPABILITIES, ASK, False)
        hello = messages.Hello(
            version=messages.VERSION,
            node_key=self.public,
            agent_version="bench",
            capabilities=CAPABILITIES,
            ask=ASK,
            holds=(),
            signature=self._key.sign(messages.HELLO_CONTEXT, signed),
        )
        first: list[messages.NodeMessage] = [hello]
        await self._socket.send(messages.encode(first))
        [welcome] = messages.decode_from_coordinator(await self._frame())
        assert isinstance(welcome, messages.Welcome), welcome

    async def beat(self) -> None:
        """Signs of life, and pings to which answers come, at the pace of an agent that holds nothing, from random
        moments on."""
        beat_s, ping_s = (beats * limits.HEARTBEAT_MS / 1000 for beats in (IDLE_BEATS, IDLE_PING_BEATS))
        async with asyncio.TaskGroup() as group:
            group.create_task(_every(beat_s, lambda: self._say(messages.Heartbeat((), ()))))
            group.create_task(_every(ping_s, self._ping))

    async def _say(self, message: messages.Heartbeat) -> None:
        assert self._socket is not None
        frame: list[messages.NodeMessage] = [message]
        await self._socket.send(messages.encode(frame))

    async def _ping(self) -> None:
        assert self._socket is not None
        await (await self._socket.ping())

    async def _frame(self) -> bytes:
        assert self._socket is not None
        data = await self._socket.recv()
        assert isinstance(data, bytes)
        return data


async def _every(interval_s: float, act: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(random.random() * interval_s)
    while True:
        await act()
        await asyncio.sleep(interval_s)


async def _enrol(connection: Connection, keys: Sequence[str]) -> None:
    project = await connection.fetchval("select id from project order by id limit 1")
    await connection.executemany(queries.insert_node, [(key, project, f"idle-{n}") for n, key in enumerate(keys)])


async def _crowd(crowd: Crowd) -> None:
    nodes = [Idle() for _ in range(crowd.count)]
    connection = await asyncpg.connect(crowd.dsn)
    await _enrol(connection, [node.public for node in nodes])
    await connection.close()
    gate = asyncio.Semaphore(32)

    async def join(node: Idle) -> None:
        async with gate:
            await node.join(crowd.url)

    beating = []
    for start in range(0, len(nodes), 200):  # those who are in beat while the others come
        some = nodes[start : start + 200]
        await asyncio.gather(*(join(node) for node in some))
        beating += [asyncio.create_task(node.beat()) for node in some]
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    done, _ = await asyncio.wait(beating, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def main() -> None:
    """Be the crowd on standard input, until killed."""
    crowd = msgspec.json.decode(sys.stdin.buffer.readline(), type=Crowd)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_crowd(crowd))


async def _renewals(count: int, turns: int) -> dict[str, float]:
    """CPU milliseconds of one renewal of all leases, coordinator's and database's."""
    async with rooms() as (services, postmaster):
        await services.tenancy.create_project("operator")
        keys = [KeyPair.generate().public for _ in range(count)]
        async with services.pool.acquire() as connection:
            await _enrol(connection, keys)
            session: UUID = uuid7()
            await connection.execute(
                "update node_life set session = $1, last_seen_at = now(), alive_until = now() + interval '1 hour'",
                session,
            )
        heard = [(key, session) for key in keys]
        pids = {"database": [postmaster]}
        await services.nodes.renew(heard, limits.LEASE_MS)
        own, database = time.process_time(), cpu_s(pids)["database"]
        own = time.process_time()
        for _ in range(turns):
            renewed = await services.nodes.renew(heard, limits.LEASE_MS)
            assert len(renewed) == count
        own = time.process_time() - own
        return {
            "coordinator": own * 1000 / turns,
            "database": (cpu_s(pids)["database"] - database) * 1000 / turns,
        }


def idle_nodes(quick: bool, say: Say) -> Report:
    """2,000 nodes that are connected and do nothing; and the renewal of 10,000 nodes' leases by itself."""
    count, windows, window_s = (500, 2, 5.0) if quick else (2_000, 5, 10.0)
    with scratch() as folder, BenchNetwork(folder, nodes=0) as network:
        assert network.coordinator is not None
        assert network.postmaster_pid is not None
        pids = {"coordinator": [network.coordinator.pid], "database": [network.postmaster_pid]}
        time.sleep(2)
        before = _own_pss(network)
        say(f"{count:,} nodes connect")
        crowd = subprocess.Popen(
            [sys.executable, "-m", "bench.idle_nodes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        try:
            crowd.stdin.write(msgspec.json.encode(Crowd(network.url, network.dsn, count)) + b"\n")
            crowd.stdin.flush()
            began = time.monotonic()
            if crowd.stdout.readline() != b"connected\n":
                raise CheckFailed("the nodes did not connect")
            joined_s = time.monotonic() - began
            time.sleep(5)
            say(f"{windows * window_s:.0f} s of heartbeats")
            marks = [(time.monotonic(), cpu_s(pids))]
            for _ in range(windows):
                time.sleep(window_s)
                marks.append((time.monotonic(), cpu_s(pids)))
            after = _own_pss(network)
            alive = asyncio.run(_alive(network.dsn))
            if crowd.poll() is not None or alive != count:
                raise CheckFailed(f"{alive} of {count} nodes are alive")
        finally:
            crowd.kill()
            crowd.wait()
    shares = {role: [100 * (b[1][role] - a[1][role]) / (b[0] - a[0]) for a, b in pairwise(marks)] for role in pids}
    whole = {role: sum(share) / len(share) for role, share in shares.items()}
    many, turns = (2_000, 5) if quick else (10_000, 20)
    say(f"renewing {many:,} leases, {turns} times")
    renewal = asyncio.run(_renewals(many, turns))
    cpu = figure("CPU of the coordinator, of one core", "%", whole["coordinator"], shares["coordinator"])
    kilobytes = figure("coordinator's memory a node, PSS", "kB", (after - before) * 1024 * 1.024 / count, [])
    return Report(
        title="Idle nodes",
        method=f"{count:,} nodes (connections of the real protocol, from one process) connect with signed Hellos, "
        f"send a heartbeat every {IDLE_BEATS * limits.HEARTBEAT_MS / 1000:g} s and a ping every "
        f"{IDLE_PING_BEATS * limits.HEARTBEAT_MS / 1000:g} s, as agents do that hold nothing. "
        "CPU of the coordinator and of the database over "
        f"{windows} windows of {window_s:g} s, from 5 s after the last has connected; memory is the coordinator's PSS "
        f"less that before the first, by nodes, all of its caches for them included. Then, with the rooms alone, the "
        f"statement that renews the leases of {many:,} nodes each second, {turns} times.",
        parameters={"nodes": count, "heartbeat_ms": IDLE_BEATS * limits.HEARTBEAT_MS, "renewed": many},
        figures=[
            cpu,
            figure("CPU of the database, of one core", "%", whole["database"], shares["database"]),
            kilobytes,
            figure("connecting, a node", "ms", joined_s * 1000 / count, []),
            figure(f"renewing {many:,} leases, coordinator CPU", "ms", renewal["coordinator"], []),
            figure(f"renewing {many:,} leases, database CPU", "ms", renewal["database"], []),
        ],
        aims=[aim(f"coordinator with {count:,} idle nodes", cpu, 5.0), aim("memory an idle node", kilobytes, 60.0)],
        checks={"alive_at_the_end": alive},
    )


def _own_pss(network: BenchNetwork) -> float:
    """MiB of the coordinator without its database, which is its child."""
    assert network.coordinator is not None
    assert network.postmaster_pid is not None
    return memory(network.coordinator.pid).pss - memory(network.postmaster_pid).pss


async def _alive(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from node_life where alive_until > now()"))
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
