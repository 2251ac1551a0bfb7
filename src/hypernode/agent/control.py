"""The agent's control socket: how node:status and node:stop reach an agent that runs in this home.

One JSON object a line each way: `{"do": "status"}`, `{"do": "stop", "now": false}`. The socket lies in the home, which
only its owner can enter. After `stop` the connection stays open until the agent has ended: its end is the signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from hypernode.agent.home import Home
from hypernode.agent.journal import read_totals
from hypernode.agent.status import AgentState, Status
from hypernode.kernel.errors import Unavailable

LINE_BYTES: Final = 1 << 20
ANSWER_S: Final = 10.0
_PATH_BYTES: Final = 100
"""A socket's address holds 107 bytes; a longer path is reached through its folder's descriptor."""


class NotRunning(Unavailable):
    """No agent runs in this home; start it with `hypernode node:start`."""

    code = "node.not_running"


class StillRunning(Unavailable):
    """The agent has not ended yet."""

    code = "node.still_running"


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    do: Literal["status", "stop"]
    now: bool = False


@asynccontextmanager
async def serve(home: Home, status: Callable[[], Status], stop: Callable[[bool], None]) -> AsyncIterator[None]:
    """Answer on the home's control socket while the block runs. The home must be locked: a socket found there is left
    over from an agent that died."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    request = msgspec.json.decode(line, type=_Request)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    writer.write(msgspec.json.encode({"error": str(error)}) + b"\n")
                    return
                if request.do == "stop":
                    stop(request.now)
                writer.write(msgspec.json.encode(status()) + b"\n")
                await writer.drain()
                if request.do == "stop":
                    await ended.wait()
                    return
        except (ConnectionError, ValueError):
            pass  # it went away, or sent an endless line
        finally:
            writer.close()

    with _address(home.control_file) as path:
        Path(path).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(answer, path, limit=LINE_BYTES)
        Path(path).chmod(0o600)
        try:
            yield
        finally:
            ended.set()
            server.close()
            await server.wait_closed()
            Path(path).unlink(missing_ok=True)


def status(home: Home) -> Status:
    """What the agent says of itself, or what its files say when it does not run. Raises what reading them raises."""
    try:
        with _connect(home) as connection:
            return _ask(connection, _Request("status"))
    except NotRunning:
        config = home.config()
        totals, unsent = read_totals(home.journal_file)
        return Status(
            key=home.key().public,
            name=config.name,
            project=config.project,
            state=AgentState.STOPPED,
            ask=config.ask,
            totals=totals,
            unsent=unsent,
        )


def stop(home: Home, *, now: bool, wait_s: float) -> None:
    """Ask the agent to end and wait until it has. Raises NotRunning, or StillRunning after `wait_s` seconds."""
    with _connect(home) as connection:
        _ask(connection, _Request("stop", now))
        connection.settimeout(wait_s)
        try:
            while connection.recv(4096):
                pass
        except TimeoutError as error:
            raise StillRunning(f"it has not ended within {wait_s:.0f} s; `hypernode node:stop --now`") from error
        except ConnectionError:
            pass  # it ended
    with contextlib.suppress(NotRunning), _connect(home):
        raise StillRunning("another agent was started in this home meanwhile")


def _ask(connection: socket.socket, request: _Request) -> Status:
    connection.settimeout(ANSWER_S)
    try:
        connection.sendall(msgspec.json.encode(request) + b"\n")
        line = bytearray()
        while not line.endswith(b"\n"):
            piece = connection.recv(65536)
            if not piece or len(line) > LINE_BYTES:
                raise NotRunning("the agent ended while it was asked")
            line += piece
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the agent does not answer: {error}") from error
    return msgspec.json.decode(line, type=Status)


@contextlib.contextmanager
def _connect(home: Home) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _address(home.control_file) as path:
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotRunning(f"no agent runs in {home.path}") from error
        except PermissionError as error:
            raise Unavailable(f"{home.control_file} belongs to another user") from error
        yield connection


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= _PATH_BYTES:
        yield str(path)
        return
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotRunning(f"{path.parent} does not exist") from error
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
