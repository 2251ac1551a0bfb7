"""The agent's end of the launcher: starts it, asks it things, notices its death."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypernode.agent.sandboxes import wire
from hypernode.agent.sandboxes.base import SandboxError

STOP_S = 15.0
LOCK_S = 10.0
SEND_RETRY_S = 0.002


class LauncherClient:
    """One launcher process. Not restarted: whoever holds this makes a new one when it is `lost`."""

    def __init__(self, control: socket.socket, process: asyncio.subprocess.Process) -> None:
        self._control = control
        self._process = process
        self._next = 0
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self.lost = False
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._on_message)

    @classmethod
    async def start(cls, module: str) -> LauncherClient:
        """Start the module as a process. It must still be told `hello`."""
        ours, theirs = wire.pair()
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-s",
                "-m",
                module,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the agent, which ends its jobs in order
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(ours, process)

    @property
    def pid(self) -> int:
        """The launcher's process id."""
        return self._process.pid

    async def ask(
        self, what: str, message: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """One request, one answer with the descriptors it brought, now the caller's.

        Raises SandboxError `sandbox.launcher_lost`, or `sandbox.task_invalid` if the message is too large. Cancelling
        drops the answer, not the request.
        """
        self._next += 1
        number = self._next
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send({"id": number, "do": what, **message}, descriptors)
            return await future
        finally:
            self._waiting.pop(number, None)

    async def stop(self) -> None:
        """End the launcher and with it every job; wait until it has tidied up. Idempotent."""
        self._end()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()  # the kernel kills the jobs then: they die with their parent
            await self._process.wait()

    async def _send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        while True:
            if self.lost:
                raise SandboxError("sandbox.launcher_lost", "the launcher has ended; its jobs have been killed")
            try:
                wire.send(self._control, message, descriptors)
                return
            except BlockingIOError:  # it is busy for a moment
                await asyncio.sleep(SEND_RETRY_S)
            except wire.MessageTooLarge as error:
                raise SandboxError(
                    "sandbox.task_invalid", f"arguments and environment are too long: {error}"
                ) from error
            except OSError:
                self._end()

    def _on_message(self) -> None:
        try:
            received = wire.receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self._end()
            return
        message, descriptors = received
        future = self._waiting.pop(message["id"], None)
        if future is None or future.done():
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            future.set_result((message, descriptors))

    def _end(self) -> None:
        if self.lost:
            return
        self.lost = True
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    SandboxError("sandbox.launcher_lost", "the launcher has ended; its jobs have been killed")
                )
        self._waiting.clear()


async def start_launcher(
    home: Path, prefix: str, first_user: int, bubblewrap: str, seccomp: bytes
) -> tuple[LauncherClient, dict[str, Any]]:
    """A launcher that has said what this host offers. See `start_helper`."""
    hello = {"home": str(home), "prefix": prefix, "first_user": first_user, "bubblewrap": bubblewrap}
    with tempfile.TemporaryFile() as file:
        file.write(seccomp)
        file.flush()
        return await start_helper("hypernode.agent.sandboxes.launcher", home, hello, [file.fileno()])


async def start_helper(
    module: str, home: Path, hello: dict[str, Any], descriptors: Sequence[int] = ()
) -> tuple[LauncherClient, dict[str, Any]]:
    """A helper process that has answered `hello`. Waits a moment for one of a killed agent to tidy up.

    Raises SandboxError `sandbox.in_use` if another agent works in this home.
    """
    until = asyncio.get_running_loop().time() + LOCK_S
    while True:
        client = await LauncherClient.start(module)
        try:
            answer, _ = await client.ask("hello", hello, descriptors)
        except BaseException:
            await client.stop()
            raise
        if "error" not in answer:
            return client, answer
        await client.stop()
        if answer["error"] != "locked":
            raise SandboxError("sandbox.unavailable", str(answer["error"]))
        if asyncio.get_running_loop().time() > until:
            raise SandboxError("sandbox.in_use", f"another agent works in {home}: end it or give this one its own home")
        await asyncio.sleep(0.2)
