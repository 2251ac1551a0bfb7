"""The agent as a process: logging, signals, exit codes, and starting itself in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.agent import Agent
from hypernode.agent.home import Home
from hypernode.agent.sandboxes.base import SandboxError
from hypernode.collector import spare_the_collector
from hypernode.kernel.errors import HypernodeError, InternalError, Unavailable

log = logging.getLogger("hypernode.agent")

LOG_BYTES: Final = 4 << 20
LOG_FILES: Final = 5
OPEN_FILES: Final = 65_536
"""Every connection of a job that is let out takes two; the usual 1024 would be one job's."""
READY_S: Final = 60.0
"""How long `--detach` waits for the first connection (probing the sandbox takes a few seconds of it)."""

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
"""Something the operator can mend; the message says how."""
EXIT_BUG: Final = 70
"""An unexpected error (EX_SOFTWARE of sysexits.h). A supervisor may start the agent again."""


NOT_CONNECTED: Final = "node.not_connected"


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a starting agent tells whoever waits for it, in one line of JSON. `code` is empty once it is connected."""

    pid: int
    connected_to: str = ""
    code: str = ""
    detail: str = ""


def run(home: Home, *, to_terminal: bool, tell: Callable[[Ready], None] | None = None, drain_s: float) -> int:
    """Run an agent in this process until it is stopped; the exit code. `tell` is called once: connected, or why not."""
    said = False

    def say(ready: Ready) -> None:
        nonlocal said
        if tell is not None and not said:
            tell(ready)
        said = True

    try:
        with _logging(home, to_terminal):
            try:
                _run(_main(home, say, drain_s))
            except (HypernodeError, SandboxError) as error:
                if isinstance(error, InternalError):
                    raise
                log.error("%s: %s", error.code, error)
                say(Ready(os.getpid(), code=error.code, detail=str(error)))
                return EXIT_REFUSED
            except BaseException as error:
                log.critical("the agent ends: unexpected error", exc_info=error)
                say(Ready(os.getpid(), code="server.error", detail=f"{type(error).__name__}: {error}"))
                return EXIT_BUG
    except HypernodeError as error:  # the log itself
        say(Ready(os.getpid(), code=error.code, detail=str(error)))
        return EXIT_REFUSED
    return EXIT_OK


def start_detached(home: Home, *, drain_s: float, wait_s: float = READY_S) -> Ready:
    """Start an agent of its own session and wait until it is connected, or has said why not, or `wait_s` is over.

    Raises Unavailable when it ended without a word. After `wait_s` it goes on trying in the background.
    """
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "hypernode.agent", "--home", str(home.path), "--drain", str(drain_s)]
    try:
        with open(os.devnull, "r+b") as null:
            # Not waited for: it outlives this command, and is a child of init from then on.
            process = subprocess.Popen(
                [*command, "--ready-fd", str(writer)],
                stdin=null,
                stdout=null,
                stderr=null,
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
            )
    finally:
        os.close(writer)
    try:
        line = _read_line(reader, wait_s)
    finally:
        os.close(reader)
    process.returncode = process.returncode or 0  # it is meant to go on: no ResourceWarning about that
    if line is None:
        return Ready(process.pid, code=NOT_CONNECTED, detail=f"not connected after {wait_s:.0f} s, still trying")
    if not line:
        raise Unavailable(f"the agent ended at once; see {home.log_file}")
    return msgspec.json.decode(line, type=Ready)


def _read_line(descriptor: int, wait_s: float) -> bytes | None:
    """What arrives up to a newline or the end; None if neither comes within `wait_s`."""
    until = time.monotonic() + wait_s
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not readable:
            return None
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        line += piece
    return line


async def _main(home: Home, say: Callable[[Ready], None], drain_s: float) -> None:
    agent = Agent(home, drain_s=drain_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, agent, number)
    log.info("agent starts, pid %d, home %s", os.getpid(), home.path)
    running = asyncio.ensure_future(agent.run())
    online = asyncio.ensure_future(agent.online.wait())
    try:
        await asyncio.wait({running, online}, return_when=asyncio.FIRST_COMPLETED)
        if online.done():
            spare_the_collector()
            say(Ready(os.getpid(), agent.status().connected_to or ""))
        await running
    finally:
        online.cancel()
    log.info("agent ended")


def _on_signal(agent: Agent, number: int) -> None:
    log.info("%s received", signal.Signals(number).name)
    agent.stop()  # the second one means: now


def _run(main: Coroutine[None, None, None]) -> None:
    allowed, possible = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if possible == resource.RLIM_INFINITY else min(possible, OPEN_FILES)
    with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit that they do not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), possible))
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


@contextlib.contextmanager
def _logging(home: Home, to_terminal: bool) -> Iterator[None]:
    """One line an event into agent.log, in UTC, and to standard error where somebody looks at it."""
    home.require()
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handlers: list[logging.Handler] = []
    try:
        handlers.append(_PrivateFile(home.log_file))
    except OSError as error:
        raise Unavailable(f"cannot write {home.log_file}: {error.strerror}") from error
    if to_terminal:
        handlers.append(logging.StreamHandler(sys.stderr))
    root = logging.getLogger("hypernode")
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotated file only its owner can read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8")

    def _open(self):  # type: ignore[no-untyped-def]
        stream = super()._open()
        os.fchmod(stream.fileno(), 0o600)
        return stream
