"""Tools of the host as children that cannot outlive us, run too long, say too much or write files without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

TAIL_BYTES: Final = 16 << 10
"""Of what a tool says on its standard error, the end is kept."""
WATCH_S: Final = 0.1
PROGRAMS: Final = ("setpriv", "prlimit")
"""What `run` itself needs: both are in util-linux."""


class Ended(NamedTuple):
    """How a tool ended."""

    code: int
    output: bytes
    said: str
    """The end of its standard error."""


class TooMuch(Exception):
    """The tool wrote more than it may, and was killed."""


async def run(
    command: Sequence[str],
    *,
    seconds: float,
    file_bytes: int,
    environment: Mapping[str, str] | None = None,
    output_bytes: int = TAIL_BYTES,
    over: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a tool to its end. `file_bytes` bounds each file it writes; `over` is looked at all the while it runs, and
    says whether it has written too much altogether.

    Raises TooMuch (for `over`, or for more than `output_bytes` on its standard output), TimeoutError after `seconds`,
    OSError if it cannot be started. However this ends, cancelled too, the tool and its children have ended then. They
    also end when this process does, however it does.
    """
    wrapped = ["setpriv", "--pdeathsig", "KILL", "prlimit", f"--fsize={file_bytes}", "--core=0", *command]
    process = await asyncio.create_subprocess_exec(
        *wrapped,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdout is not None, "it is a pipe"
    assert process.stderr is not None, "it is a pipe"
    excess = False

    def stop() -> None:
        nonlocal excess
        excess = True
        _kill(process.pid)

    whole = False
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            output = group.create_task(_read(process.stdout, output_bytes, stop))
            said = group.create_task(_tail(process.stderr))
            watching = group.create_task(_watch(over, stop))
            code = await process.wait()
            watching.cancel()
        whole = True
    finally:
        if not whole:
            _kill(process.pid)
            await process.wait()
    if excess:
        raise TooMuch
    return Ended(code, output.result(), said.result().decode(errors="replace"))


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


async def _read(stream: asyncio.StreamReader, most: int, stop: Callable[[], None]) -> bytes:
    data = bytearray()
    while piece := await stream.read(64 << 10):
        data += piece
        if len(data) > most:
            stop()
            break
    return bytes(data)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    data = b""
    while piece := await stream.read(64 << 10):
        data = (data + piece)[-TAIL_BYTES:]
    return data


async def _watch(over: Callable[[], bool], stop: Callable[[], None]) -> None:
    while True:
        if await asyncio.to_thread(over):
            stop()
            return
        await asyncio.sleep(WATCH_S)
