"""The proxy between real sockets: what it carries, counts, refuses and survives. Where it may connect is not its
question: here everything leads to one server on this machine."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hypernode.agent.egress import proxy as proxies
from hypernode.agent.egress import reach
from hypernode.agent.egress.proxy import Proxy
from hypernode.agent.egress.reach import Reach
from hypernode.agent.egress.refusal import Refused
from hypernode.agent.egress.tunnel import Turn
from hypernode.jobs.model import Destination

MIB = 1 << 20
CONNECT = b"CONNECT host.example:443 HTTP/1.1\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Host:
    """A server that says and does what a test wants of it, and counts."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.received = 0
        self.ended = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.ended.set()

    async def count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(MIB):
            self.received += len(data)


@asynccontextmanager
async def open_proxy(handler: Handler | None = None, limit: int = 1 << 40, **bounds: float) -> AsyncIterator[World]:
    world = World()
    world.host = Host(handler or echo)
    server = await asyncio.start_server(world.host.serve, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    world.place = listening.getsockname()
    world.proxy = Proxy(listening, world.connect, limit, **bounds)
    try:
        yield world
    finally:
        await world.proxy.close()
        server.close()


class World:
    host: Host
    proxy: Proxy
    port: int
    place: tuple[str, int]

    async def connect(self, host: str, port: int) -> socket.socket:
        if host != "host.example":
            raise Refused(403, "egress.not_allowed", "not this one")
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return sock

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.place)

    async def tunnel(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.client()
        writer.write(CONNECT)
        assert await reader.readexactly(len(ESTABLISHED)) == ESTABLISHED
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        reader, writer = await self.client()
        writer.write(request)
        answer = await reader.read(-1)
        writer.close()
        return answer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(MIB):
        writer.write(data)
        await writer.drain()


async def read_all(reader: asyncio.StreamReader, got: bytearray) -> None:
    while data := await reader.read(MIB):
        got += data


async def steady(value: Callable[[], int], for_s: float = 0.3) -> int:
    """What a figure is once it has stopped changing."""
    async with asyncio.timeout(20):
        while True:
            before = value()
            await asyncio.sleep(for_s)
            if value() == before:
                return before


# ------------------------------------------------------------------------------------------------ carrying


async def test_a_tunnel_carries_both_ways_and_counts_every_byte() -> None:
    data = os.urandom(3 * MIB + 7)
    async with open_proxy() as world:
        reader, writer = await world.tunnel()

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, answer = await asyncio.gather(send(), reader.read(-1))
        assert answer == data
        assert (world.proxy.meter.sent_bytes, world.proxy.meter.received_bytes) == (len(data), len(data))
        writer.close()


async def test_what_comes_right_behind_the_head_is_carried() -> None:
    async with open_proxy() as world:
        reader, writer = await world.client()
        writer.write(CONNECT + b"early")
        writer.write_eof()
        assert await reader.read(-1) == ESTABLISHED + b"early"
        assert world.proxy.meter.sent_bytes == 5
        writer.close()


async def test_each_direction_ends_by_itself() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"first")
        writer.write_eof()
        world.host.received = len(await reader.read(-1))

    async with open_proxy(late) as world:
        reader, writer = await world.tunnel()
        assert await reader.read(-1) == b"first"
        writer.write(b"still heard")
        writer.write_eof()
        await world.host.ended.wait()
        assert world.host.received == len(b"still heard")
        writer.close()


async def test_plain_http_goes_to_the_host_with_its_body() -> None:
    seen = b""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    async with open_proxy(http) as world:
        answer = await world.ask(
            b"PUT http://HOST.example/a?b HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert answer.endswith(b"\r\n\r\nok")
        assert seen.startswith(b"PUT /a?b HTTP/1.1\r\nHost: HOST.example\r\nContent-Length: 4\r\n")
        assert seen.endswith(b"\r\n\r\nbody")
        assert world.proxy.meter.sent_bytes == len(seen)
        assert world.proxy.meter.received_bytes == len(answer)


async def test_an_answer_is_heard_though_the_host_listens_no_more() -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"too much")
        await writer.drain()

    async with open_proxy(impatient) as world:
        reader, writer = await world.tunnel()
        writer.write(b"x" * 1000)
        assert await reader.readexactly(8) == b"too much"
        writer.close()


async def test_a_connection_that_broke_does_not_look_whole() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of")
        await writer.drain()
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with open_proxy(broken) as world:
        reader, writer = await world.tunnel()
        assert await reader.readexactly(7) == b"half of"
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


# ------------------------------------------------------------------------------------------------ refusing


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"CONNECT other.example:443 HTTP/1.1\r\n\r\n", 403, "egress.not_allowed"),
        (b"GET http://other.example/ HTTP/1.1\r\n\r\n", 403, "egress.not_allowed"),
        (b"POST http://other.example/ HTTP/1.1\r\n\r\n" + b"x" * MIB, 403, "egress.not_allowed"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "egress.bad_request"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000, 431, "egress.too_large"),
        (b"GET http://host.example/ HTTP/1.1\r\nA: b\r\n", 408, "egress.too_slow"),
    ],
)
async def test_a_refusal_says_why_and_reaches_nobody(request_: bytes, status: int, code: str) -> None:
    async with open_proxy(head_s=0.5) as world:
        answer = await world.ask(request_)
        assert answer.startswith(f"HTTP/1.1 {status} {code}: ".encode()), answer
        assert world.host.connections == 0
        assert (world.proxy.meter.sent_bytes, world.proxy.meter.received_bytes) == (0, 0)


# ------------------------------------------------------------------------------------------------ the limit


async def test_all_of_the_limit_may_be_used() -> None:
    async with open_proxy(limit=2000) as world:
        reader, writer = await world.tunnel()
        writer.write(b"x" * 1000)
        writer.write_eof()
        assert len(await reader.read(-1)) == 1000
        assert not world.proxy.meter.used_up
        answer = await world.ask(CONNECT)
        assert answer.startswith(b"HTTP/1.1 403 egress.used_up: the task has used up its 2000 bytes")
        writer.close()


async def test_the_byte_after_the_limit_cuts_every_connection() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wanted = int(await reader.readline())
        writer.write(b"x" * wanted)
        await reader.read(-1)

    async with open_proxy(speak, limit=100_000) as world:
        quiet, quiet_writer = await world.tunnel()
        reader, writer = await world.tunnel()
        writer.write(b"200000\n")
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            await read_all(reader, got)
        with pytest.raises(ConnectionResetError):
            await quiet.read(-1)
        meter = world.proxy.meter
        assert meter.used_up
        assert (meter.sent_bytes, meter.received_bytes) == (7, 100_000 - 7)
        assert len(got) <= 100_000 - 7
        writer.close()
        quiet_writer.close()


async def test_sending_is_cut_at_the_byte_too() -> None:
    async with open_proxy(limit=5000) as world:
        world.host.handler = world.host.count
        reader, writer = await world.tunnel()
        writer.write(b"x" * 6000)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        await world.host.ended.wait()
        assert world.host.received == world.proxy.meter.sent_bytes == 5000
        assert world.proxy.meter.used_up
        writer.close()


# ------------------------------------------------------------------------------------------------ stalls and floods


async def test_who_does_not_read_is_not_read_for() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b"x" * MIB
        for _ in range(64):
            writer.write(data)
            await writer.drain()

    async with open_proxy(pour) as world:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await loop.sock_connect(sock, world.place)
        await loop.sock_sendall(sock, CONNECT)
        held = await steady(lambda: world.proxy.meter.received_bytes)
        assert 0 < held < 16 * MIB
        beside, writer = await world.tunnel()
        assert len(await beside.readexactly(64 * MIB)) == 64 * MIB, "a stalled connection holds up no other"
        got = -len(ESTABLISHED)
        while data := await loop.sock_recv(sock, MIB):
            got += len(data)
        assert got == 64 * MIB
        assert world.proxy.meter.received_bytes == 128 * MIB
        sock.close()
        writer.close()


async def test_a_host_that_does_not_read_is_not_written_to() -> None:
    go_on = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await world.host.count(reader, writer)

    async with open_proxy(deaf) as world:
        reader, writer = await world.tunnel()
        writer.write(b"x" * 32 * MIB)
        held = await steady(lambda: world.proxy.meter.sent_bytes)
        assert 0 < held < 16 * MIB
        go_on.set()
        await writer.drain()
        writer.write_eof()
        await reader.read(-1)
        assert world.host.received == world.proxy.meter.sent_bytes == 32 * MIB
        writer.close()


async def test_a_connection_on_which_nothing_moves_is_cut() -> None:
    async with open_proxy(idle_s=0.5) as world:
        reader, writer = await world.tunnel()
        for _ in range(8):  # slow is not idle
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        assert time.monotonic() - began < 5
        writer.close()


async def test_connections_that_say_nothing_only_take_the_tasks_own_places() -> None:
    async with open_proxy(head_s=0.7) as world:
        silent = [socket.socket() for _ in range(proxies.CONNECTIONS + 30)]
        loop = asyncio.get_running_loop()
        for sock in silent:
            sock.setblocking(False)
            await loop.sock_connect(sock, world.place)
        await steady(lambda: len(world.proxy._connections), 0.1)
        assert len(world.proxy._connections) <= proxies.CONNECTIONS
        async with asyncio.timeout(20):
            _, writer = await world.tunnel()  # its turn comes when theirs is over
        writer.close()
        for sock in silent:
            sock.close()


async def test_a_tasks_connections_take_turns() -> None:
    """In one round of the event loop only one of them reads."""
    turn, rounds, done = Turn(), 0, False

    async def count() -> None:
        nonlocal rounds
        while not done:
            rounds += 1
            await asyncio.sleep(0)

    async def read() -> int:
        async with turn:
            return rounds

    counting = asyncio.create_task(count())
    seen = await asyncio.gather(*(read() for _ in range(20)))
    done = True
    await counting
    assert len(set(seen)) == 20


async def test_a_flood_leaves_the_event_loop_to_others() -> None:
    """A task that opens connections and moves bytes as fast as it can, in processes' stead threads."""
    stop = threading.Event()

    def connect(place: tuple[str, int]) -> None:
        while not stop.is_set():
            try:
                with socket.create_connection(place, 5) as sock:
                    sock.sendall(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n")
            except OSError:
                pass

    def transfer(place: tuple[str, int]) -> None:
        try:
            with socket.create_connection(place, 5) as sock:
                sock.sendall(CONNECT)
                while not stop.is_set():
                    sock.sendall(b"x" * MIB)
        except OSError:
            pass

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await world.host.count(reader, writer)

    async with open_proxy(sink) as world:
        threads = [threading.Thread(target=connect, args=(world.place,)) for _ in range(2)]
        threads += [threading.Thread(target=transfer, args=(world.place,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        late: list[float] = []
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - began - 0.01)
        assert world.host.received > MIB
        stop.set()
        await world.proxy.close()
        await asyncio.gather(*(asyncio.to_thread(thread.join, 20) for thread in threads))
    late.sort()
    assert late[len(late) // 2] < 0.1, "the event loop belongs to one task"
    assert late[-1] < 1.0


async def test_a_node_with_nearly_everything_open_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is for the node's own work; at the very end not even a refusal is worth a descriptor."""
    async with open_proxy() as world:
        lowest = os.open("/dev/null", os.O_RDONLY)
        os.close(lowest)
        # The client takes the lowest number, the proxy's two ends the next.
        allowed = lowest + 1 + proxies.SPARE_DESCRIPTORS
        monkeypatch.setattr(resource, "getrlimit", lambda which: (allowed, allowed))
        answer = await world.ask(CONNECT)
        assert answer.startswith(b"HTTP/1.1 503 egress.busy: "), answer
        monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 256))
        assert await world.ask(CONNECT) == b""
        monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
        _, writer = await world.tunnel()
        writer.close()


# ------------------------------------------------------------------------------------------------ the end


async def test_what_was_handed_over_before_the_end_still_goes_out() -> None:
    async with open_proxy() as world:
        world.host.handler = world.host.count
        _, writer = await world.tunnel()
        writer.write(b"x" * MIB)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await world.proxy.close(flush=True)
        await world.host.ended.wait()
        assert world.host.received == world.proxy.meter.sent_bytes == MIB


async def test_the_count_is_exact_when_a_transfer_is_cut_short() -> None:
    async with open_proxy() as world:
        world.host.handler = world.host.count
        _, writer = await world.tunnel()
        writer.write(b"x" * 64 * MIB)
        async with asyncio.timeout(20):
            while world.proxy.meter.sent_bytes < 2 * MIB:
                await asyncio.sleep(0)
        await world.proxy.close()
        sent = world.proxy.meter.sent_bytes
        await world.host.ended.wait()
        assert 2 * MIB <= world.host.received == sent == world.proxy.meter.sent_bytes < 64 * MIB
        writer.close()


async def test_nothing_is_left_open() -> None:
    async with open_proxy():
        pass  # the loop's own descriptors exist now
    before = set(os.listdir("/proc/self/fd"))
    async with open_proxy() as world:
        tunnels = [await world.tunnel() for _ in range(10)]
        for _, writer in tunnels:
            writer.write(b"x" * 1000)
        await world.ask(b"nonsense\r\n\r\n")
        await world.proxy.close()
        await world.proxy.close()
        for _, writer in tunnels:
            writer.close()
        assert not world.proxy._connections
    async with asyncio.timeout(5):
        while set(os.listdir("/proc/self/fd")) - before:
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------ looking up


async def refused(reached: Reach, host: str = "host.example", port: int = 443) -> Refused:
    with pytest.raises(Refused) as refusal:
        (await reached.connect(host, port)).close()
    return refusal.value


async def test_only_what_is_allowed_is_looked_up() -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1"]

    reached = Reach((Destination("host.example"),), lookup=lookup, own_networks=list)
    assert (await refused(reached, "evil.example")).code == "egress.not_allowed"
    assert (await refused(reached, port=80)).code == "egress.not_allowed"
    assert asked == []
    assert (await refused(reached)).code == "egress.not_public"
    assert asked == ["host.example"], "one look, so that no second answer can be another one"


async def test_a_name_that_is_unknown_answers_as_one_that_is_private() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    here = (Destination("host.example"),)
    answers = [
        await refused(Reach(here, lookup=lookup, own_networks=list))
        for lookup in (unknown, lambda host, port: ["192.168.1.1", "::1"], lambda host, port: [])
    ]
    assert len({answer.answer for answer in answers}) == 1
    assert answers[0].status == 403

    def down(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    answer = await refused(Reach(here, lookup=down, own_networks=list))
    assert (answer.status, answer.code) == (502, "egress.lookup_failed")


async def test_slow_lookups_are_bounded_and_take_nobodys_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "LOOKUP_S", 0.3)
    go_on, asked = threading.Event(), []

    def slow(host: str, port: int) -> list[str]:
        asked.append(host)
        go_on.wait(20)
        return []

    reached = Reach((Destination("*.example"),), lookup=slow, own_networks=list)
    answers = await asyncio.gather(*(refused(reached, f"n{n}.example") for n in range(3 * reach.LOOKUPS)))
    assert {(answer.status, answer.code) for answer in answers} == {(504, "egress.timeout")}
    assert len(asked) == reach.LOOKUPS
    assert await asyncio.to_thread(lambda: 42) == 42
    go_on.set()
    async with asyncio.timeout(5):
        answer = await refused(reached, "last.example")
    assert answer.code == "egress.not_public", "places come free again"


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    async def connect(address: str, port: int) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(reach, "_connect", connect)
    answers = iter([["8.8.8.8", "10.0.0.1", "2606:4700::1"], ["127.0.0.1"]])
    reached = Reach((Destination("host.example"),), lookup=lambda host, port: next(answers), own_networks=list)
    answer = await refused(reached)
    assert (answer.status, answer.code) == (502, "egress.unreachable")
    assert connected == ["8.8.8.8", "2606:4700::1"]
