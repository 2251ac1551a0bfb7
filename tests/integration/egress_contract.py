"""What every sandbox that lets tasks out has to hold, to be run for each of them: subclass `ListenContract` in a test
module whose fixtures `sandbox` and `interpreter` give a backend and the Python of its tasks."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import msgspec
import pytest

from hypernode.agent.egress.probe import LIMITS, probe
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import PROXY_PORT, Outcome, Reason, Sandbox, SandboxError, Task

ASK = f"""
import socket
with socket.create_connection(("127.0.0.1", {PROXY_PORT}), 10) as s:
    print(s.makefile().read())
"""


def python(interpreter: Interpreter, code: str, key: str = "egress", *, egress: bool = True) -> Task:
    """A task that runs a piece of Python."""
    return Task(
        key=key,
        argv=(interpreter.executable, "-I", "-S", "-c", code),
        environment=interpreter.environment,
        working_folder="/tmp",
        mounts=interpreter.mounts,
        limits=LIMITS,
        outputs=False,
        egress=egress,
    )


async def run(sandbox: Sandbox, task: Task) -> tuple[Outcome, str]:
    """Run a prepared task."""
    output: list[bytes] = []
    outcome = await sandbox.run(task, lambda stream, data: output.append(data))
    return outcome, b"".join(output).decode()


async def answer(listening: socket.socket, text: str, *, keep: bool = False) -> socket.socket:
    """Say something to the first who connects."""
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        connection, _ = await loop.sock_accept(listening)
        await loop.sock_sendall(connection, text.encode())
    if not keep:
        connection.close()
    return connection


class ListenContract:
    """`Sandbox.listen`, seen from both sides."""

    async def test_the_way_out_is_open_and_no_other(self, sandbox: Sandbox, interpreter: Interpreter) -> None:
        assert await probe(sandbox, interpreter) is None

    async def test_each_task_has_a_socket_of_its_own(self, sandbox: Sandbox, interpreter: Interpreter) -> None:
        tasks = [python(interpreter, ASK, f"egress-{n}") for n in range(2)]

        async def one(task: Task) -> str:
            await sandbox.prepare(task)
            try:
                with await sandbox.listen(task.key) as listening:
                    _, (_, said) = await asyncio.gather(answer(listening, f"for {task.key}"), run(sandbox, task))
            finally:
                await sandbox.release(task.key)
            return said.strip()

        assert await asyncio.gather(*(one(task) for task in tasks)) == ["for egress-0", "for egress-1"]

    async def test_the_task_cannot_take_the_place_of_its_proxy(
        self, sandbox: Sandbox, interpreter: Interpreter
    ) -> None:
        code = f"""
import socket
for address in ("127.0.0.1", "0.0.0.0"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            s.bind((address, {PROXY_PORT}))
            print("took it")
        except OSError as error:
            print(error.errno)
"""
        task = python(interpreter, code)
        await sandbox.prepare(task)
        with await sandbox.listen(task.key):
            _, said = await run(sandbox, task)
        await sandbox.release(task.key)
        assert said.split() == ["98", "98"]

    async def test_a_task_without_egress_has_none(self, sandbox: Sandbox, interpreter: Interpreter) -> None:
        task = python(interpreter, ASK, egress=False)
        await sandbox.prepare(task)
        for key in (task.key, "unknown"):
            with pytest.raises(SandboxError) as refused:
                await sandbox.listen(key)
            assert refused.value.code == "sandbox.no_network"
        outcome, said = await run(sandbox, task)
        assert outcome.exit_code == 1
        assert "ConnectionRefusedError" in said
        await sandbox.release(task.key)

    async def test_a_killed_task_ends_its_connections_and_is_released(
        self, sandbox: Sandbox, interpreter: Interpreter
    ) -> None:
        """Though its network is held from outside for a moment longer."""
        task = python(interpreter, ASK)
        await sandbox.prepare(task)
        with await sandbox.listen(task.key) as listening:
            running = asyncio.create_task(run(sandbox, task))
            with await answer(listening, "hold on", keep=True) as connection:
                await sandbox.kill(task.key, Reason.CANCELLED)
                outcome, _ = await running
                assert outcome.reason is Reason.CANCELLED
                async with asyncio.timeout(10):
                    with suppress(ConnectionResetError):  # as it is where the task had not read all
                        assert await asyncio.get_running_loop().sock_recv(connection, 1) == b""
            await sandbox.release(task.key)
        task = msgspec.structs.replace(task, argv=(*task.argv[:-1], "print('again')"))
        await sandbox.prepare(task)
        (await sandbox.listen(task.key)).close()
        assert (await run(sandbox, task))[1] == "again\n"
        await sandbox.release(task.key)
