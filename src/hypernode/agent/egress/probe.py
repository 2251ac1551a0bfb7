"""The proof that tasks of a sandbox can be let out to what they name, and to nothing else."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from hypernode.agent.egress.proxy import Proxy
from hypernode.agent.egress.refusal import Refused
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import PROXY_PORT, Failure, Limits, Mount, Sandbox, SandboxError, Task
from hypernode.ledger.receipt import Traffic

MIB: Final = 1 << 20
LIMITS: Final = Limits(
    cpu_milli=1000,
    memory_bytes=96 * MIB,
    processes=32,
    tmp_bytes=MIB,
    disk_bytes=8 * MIB,
    files=64,
    log_bytes=64 << 10,
    wall_ms=20_000,
)
LIMIT_BYTES: Final = 1000
PLACE: Final = "/selftest/probe_task.py"

_PING, _PONG = b"ping", b"pong"


async def probe(sandbox: Sandbox, interpreter: Interpreter) -> Failure | None:
    """What keeps this sandbox from letting tasks out, or None. Takes a fraction of a second; leaves nothing."""
    try:
        said, traffic = await _run(sandbox, interpreter)
    except (SandboxError, OSError) as error:
        return Failure("egress", str(error) or type(error).__name__)
    if "reached" in said or "tried" not in said:
        return Failure("egress", f"report this as a bug: a task with egress is not shut in: {said[-300:]}")
    if "answered" not in said or traffic != Traffic(sent_bytes=len(_PING), received_bytes=len(_PONG)):
        return Failure("egress", f"report this as a bug: a task does not get through its proxy: {said[-300:]}")
    return None


async def _run(sandbox: Sandbox, interpreter: Interpreter) -> tuple[str, Traffic]:
    script = Path(__file__).with_name("probe_task.py").resolve()
    with socket.create_server(("127.0.0.1", 0)) as bait:
        task = Task(
            key=f"selftest-egress-{os.getpid()}",
            argv=(interpreter.executable, "-I", "-S", PLACE, str(PROXY_PORT), str(bait.getsockname()[1])),
            environment=interpreter.environment,
            working_folder="/tmp",
            mounts=(*interpreter.mounts, Mount(script, PLACE)),
            limits=LIMITS,
            outputs=False,
            egress=True,
        )
        output: list[bytes] = []
        await sandbox.prepare(task)
        try:
            proxy = Proxy(await sandbox.listen(task.key), _Host().connect, LIMIT_BYTES)
            try:
                await sandbox.run(task, lambda stream, data: output.append(data))
            finally:
                await proxy.close(flush=True)
        finally:
            await sandbox.release(task.key)
    return b"".join(output).decode(errors="replace"), proxy.meter.traffic


class _Host:
    """A host that answers a ping, without any network."""

    def __init__(self) -> None:
        self._answering: set[asyncio.Task[None]] = set()

    async def connect(self, host: str, port: int) -> socket.socket:
        if (host, port) != ("probe.invalid", 443):
            raise Refused(403, "egress.not_allowed", "this is a probe")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        answering = asyncio.create_task(_answer(ours))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)
        return theirs


async def _answer(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with sock, suppress(OSError):
        if await loop.sock_recv(sock, len(_PING)) == _PING:
            await loop.sock_sendall(sock, _PONG)
