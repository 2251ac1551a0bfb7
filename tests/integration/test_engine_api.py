"""Finding engines, and engines that answer wrongly, late or not at all."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from engines import RunningEngine
from hypernode.agent import interpreter as interpreters
from hypernode.agent.sandboxes.base import SandboxError
from hypernode.agent.sandboxes.engine import api, find
from hypernode.agent.sandboxes.engine.api import EngineClient, Refused
from hypernode.agent.sandboxes.engine.calls import EngineCalls
from hypernode.agent.sandboxes.engine.find import Kind
from hypernode.agent.sandboxes.engine.sandbox import EngineSandbox

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Something(msgspec.Struct):
    name: str


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("engines need Linux and root")


@asynccontextmanager
async def liar(tmp_path: Path, talk: Talk) -> AsyncIterator[EngineClient]:
    """A client of something that is no engine."""
    path = tmp_path / "liar.sock"
    server = await asyncio.start_unix_server(talk, path)
    client = EngineClient(path)
    try:
        yield client
    finally:
        await client.close()
        server.close()


def says(data: bytes, *, then_wait: bool = False, times: int = 1) -> Talk:
    """Answer every request with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(times):
                writer.write(data)
                await writer.drain()
            if then_wait:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return talk


async def test_the_engines_of_a_host_are_found(docker_engine: RunningEngine, podman_engine: RunningEngine) -> None:
    environment = {"DOCKER_HOST": f"unix://{docker_engine.socket}"}
    found = {engine.name: engine for engine in await find.find(environment) if engine.socket == docker_engine.socket}
    assert list(found) == ["docker/runsc", "docker/runc"], "a kernel of its own comes first"
    assert found["docker/runsc"].own_kernel
    assert not found["docker/runc"].own_kernel
    assert found["docker/runc"].cgroup_driver == "cgroupfs"
    (podman,) = await find.look(podman_engine.socket)
    assert (podman.name, podman.kind, podman.rootless) == ("podman/runc", Kind.PODMAN, False)


async def test_where_no_engine_is_none_is_found(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").write_text("no socket")
    environment = {"DOCKER_HOST": "tcp://192.0.2.1:2375", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert [path for path in find.sockets(environment) if tmp_path in path.parents] == []


async def test_a_dead_socket_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)
    with pytest.raises(SandboxError, match="start it") as refused:
        await find.look(path)
    assert refused.value.code == "sandbox.unavailable"
    assert [e for e in await find.find({"DOCKER_HOST": f"unix://{path}"}) if e.socket == path] == []


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        says(b""),
        says(b"rubbish\r\n\r\n"),
        says(OK + b"Content-Length: 100\r\n\r\n{"),
        says(OK + b'Content-Length: 9\r\n\r\n{"a": 17}'),
        says(OK + b"Content-Length: 4\r\n\r\n\xff\xfe\x00\x00"),
        says(OK + b"Content-Length: 2\r\n\r\n[]"),
        says(b"", then_wait=True),
        says(OK + b"Content-Length: 10\r\n\r\n{", then_wait=True),
    ],
)
async def test_an_engine_that_makes_no_sense_is_lost(tmp_path: Path, talk: Talk) -> None:
    async with liar(tmp_path, talk) as client:
        with pytest.raises(SandboxError) as refused:
            await asyncio.wait_for(client.ask("GET", "/something", Something, within_s=0.3), 5)
        assert refused.value.code == "sandbox.engine_lost"


async def test_an_answer_without_an_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ANSWER_BYTES", 1 << 16)
    async with liar(tmp_path, says(b"x" * (1 << 16), times=1000)) as client:
        with pytest.raises(SandboxError):
            await asyncio.wait_for(client.ask("GET", "/x", Something), 5)
    endless = says(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 17), then_wait=True)
    (tmp_path / "second").mkdir()
    async with liar(tmp_path / "second", endless) as client:
        with pytest.raises(SandboxError, match="no end"):
            await asyncio.wait_for(client.ask("GET", "/x", Something), 5)


@pytest.mark.parametrize(
    ("body", "message"),
    [(b'{"message":"no such container"}', "no such container"), (b"what?", "what?"), (b"", "status 404")],
)
async def test_a_refusal_says_why(tmp_path: Path, body: bytes, message: str) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with liar(tmp_path, says(head + body)) as client:
        with pytest.raises(Refused, match=message) as refused:
            await client.do("POST", "/x")
        assert refused.value.status == 404


def in_turn(*answers: tuple[int, object]) -> tuple[Talk, list[str]]:
    """Answers one request after the other, each on a connection of its own, with a status and a JSON document; what
    was asked is put into the list. The last answer stays."""
    asked: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        status, document = answers[min(len(asked), len(answers) - 1)]
        asked.append(request.decode().split(" HTTP/")[0])
        body = msgspec.json.encode(document)
        head = f"HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    return talk, asked


@asynccontextmanager
async def calls_to(tmp_path: Path, podman_engine: RunningEngine, talk: Talk) -> AsyncIterator[EngineCalls]:
    """What a sandbox asks of Podman, asked of `talk`."""
    path = tmp_path / "scripted.sock"
    server = await asyncio.start_unix_server(talk, path)
    calls = EngineCalls(msgspec.structs.replace(podman_engine.engine("runc"), socket=path), "p-", 100_000, tmp_path)
    try:
        yield calls
    finally:
        await calls.close()
        server.close()


PROCESS_ENDED = (500, {"message": "read /proc/1293/cgroup: no such process"})
"""Of Podman, asked for the state of a container whose process ends between two of its looks at that."""


async def test_a_container_that_ends_while_podman_looks_at_it_is_looked_at_again(
    tmp_path: Path, podman_engine: RunningEngine
) -> None:
    ended = {"State": {"Pid": 0, "Running": False, "ExitCode": 3}}
    talk, asked = in_turn(PROCESS_ENDED, (200, ended))
    async with calls_to(tmp_path, podman_engine, talk) as calls:
        assert (await calls.state("task")).exit_code == 3
    assert asked == ["GET /containers/task/json"] * 2


async def test_a_wait_and_a_removal_that_failed_are_asked_for_again(
    tmp_path: Path, podman_engine: RunningEngine
) -> None:
    talk, asked = in_turn((500, {"message": "no such exit code"}), (200, 3), (500, {"message": "busy"}), (404, {}))
    async with calls_to(tmp_path, podman_engine, talk) as calls:
        assert await calls.wait("task", 10) == 3
        await calls.remove("task")
    assert [line.partition("?")[0] for line in asked] == [
        *["POST /v4.0.0/libpod/containers/task/wait"] * 2,
        *["DELETE /containers/task"] * 2,
    ]


async def test_what_an_engine_refuses_or_goes_on_failing_at_is_not_asked_for_ever(
    tmp_path: Path, podman_engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "GAPS_S", (0.0, 0.01))
    talk, asked = in_turn((404, {"message": "no such container"}), PROCESS_ENDED)
    async with calls_to(tmp_path, podman_engine, talk) as calls:
        with pytest.raises(Refused, match="no such container"):
            await calls.state("task")
        assert len(asked) == 1
        with pytest.raises(Refused, match="no such process"):
            await calls.state("task")
        assert len(asked) == 4
        with pytest.raises(Refused):
            await calls.start("task")
        assert len(asked) == 5, "a program must not be started twice"


async def test_a_rootless_engine_is_refused(docker_engine: RunningEngine, tmp_path: Path) -> None:
    """It cannot show a task a volume, and where it cannot bound a task either, it does not say so."""
    engine = msgspec.structs.replace(docker_engine.engine("runc"), rootless=True)
    sandbox = EngineSandbox(tmp_path / "home", interpreters.prepare(tmp_path / "store"), engine)
    with pytest.raises(SandboxError, match="bubblewrap") as refused:
        await sandbox.probe()
    assert refused.value.code == "sandbox.unavailable"
    await sandbox.close()
