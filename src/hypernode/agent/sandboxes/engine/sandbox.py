"""The container engine backend: one container for every task, bounded by the engine and, where that works, by us.

Preparing a task makes everything but its first process: volume, cgroup, container, and the connection that its output
will come through. The `keeper` holds what must go when this process goes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypernode.agent import collect
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import owned, selftest
from hypernode.agent.sandboxes.base import (
    PROXY_PORT,
    Capabilities,
    Images,
    OnOutput,
    OnStarted,
    Outcome,
    Reason,
    SandboxError,
    Task,
)
from hypernode.agent.sandboxes.client import LauncherClient, start_helper
from hypernode.agent.sandboxes.engine.api import Refused
from hypernode.agent.sandboxes.engine.calls import EngineCalls
from hypernode.agent.sandboxes.engine.describing import OWN_KERNEL_THREADS
from hypernode.agent.sandboxes.engine.find import Engine
from hypernode.agent.sandboxes.engine.prepared import Prepared, Tools

KEEPER: Final = "hypernode.agent.sandboxes.engine.keeper"
CGROUPS: Final = "the engine ignores limits: run it as root, on a host whose cgroups it may use"
REMEDIES: Final = {
    "memory": CGROUPS,
    "processes": CGROUPS,
    "cpu": CGROUPS,
    "network": "the engine does not keep containers off the network: update it",
    "time": "report this as a bug: nothing was killed at its deadline",
    "uid": "the engine runs containers as root or as the node: do not let it change users (userns-remap)",
    "calls": "the engine does not apply system call profiles: install libseccomp, and an engine built with it",
}


class EngineSandbox:
    """Implements `base.Sandbox` with one runtime of one engine. `home` is this object's alone.

    `Limits.processes` bounds what the host sees; see OWN_KERNEL_THREADS for runtimes with a kernel of their own.
    """

    def __init__(self, home: Path, interpreter: Interpreter, engine: Engine, *, images: Images | None = None) -> None:
        """`interpreter` runs the attacks of `probe`; tasks bring their own mounts. `images` are those of the engine,
        which its runtimes share. Touches nothing yet."""
        self.engine = engine
        self._images = images
        self._home = home.resolve()
        self._interpreter = interpreter
        self._prefix = owned.prefix(self._home)
        self._first_user = owned.first_user(self._home)
        self._calls = EngineCalls(engine, self._prefix, self._first_user, self._home)
        self._tools = Tools(engine, self._calls, self._home, self._prefix, lambda: self._client)
        self._client: LauncherClient | None = None
        self._missing: dict[str, str] = {}
        self._starting = asyncio.Lock()
        self._tasks: dict[str, Prepared] = {}
        self._owing = False

    # ------------------------------------------------------------------------------------------------ interface

    @property
    def images(self) -> Images | None:
        """See `base.Sandbox.images`."""
        return self._images

    async def probe(self) -> Capabilities:
        """See `base.Sandbox.probe`. Takes some seconds."""
        await self._keeper()
        subject = selftest.Subject(
            backend=self.engine.name,
            level=3 if self.engine.own_kernel else 2,
            own_kernel=self.engine.own_kernel,
            missing=self._missing,
            host_user=self._host_user,
            why_nothing_runs=self._why_nothing_runs,
            remedies=REMEDIES,
            own_threads=OWN_KERNEL_THREADS if self.engine.own_kernel else 0,
        )
        return await selftest.prove(self, self._interpreter, subject)

    async def prepare(self, task: Task) -> None:
        """See `base.Sandbox.prepare`."""
        owned.check(task)
        if task.egress and self.engine.own_kernel:
            raise SandboxError("sandbox.no_network", f"nobody can listen for a task inside {self.engine.runtime}")
        if task.key in self._tasks:
            raise SandboxError("sandbox.task_invalid", f"{task.key} is prepared already")
        prepared = self._tasks[task.key] = Prepared(self._tools, task)
        try:
            keeper = await self._keeper()
            if self._owing:
                await self._pay(keeper)
            await prepared.make(keeper)
        except BaseException as error:
            await self._remove(task.key)
            if isinstance(error, Refused | OSError):
                raise SandboxError("sandbox.prepare_failed", str(error)) from error
            raise

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """See `base.Sandbox.run`."""
        prepared = self._tasks.get(task.key)
        if prepared is None or prepared.ran:
            raise SandboxError("sandbox.task_unknown", f"{task.key} is not prepared")
        return await prepared.run(on_output, on_started)

    async def listen(self, key: str) -> socket.socket:
        """See `base.Sandbox.listen`."""
        prepared = self._tasks.get(key)
        if self._client is None or prepared is None or not prepared.task.egress:
            raise SandboxError("sandbox.no_network", f"{key} is no prepared task with egress")
        answer, descriptors = await self._client.ask("listen", {"key": key, "port": PROXY_PORT})
        if "error" in answer or not descriptors:
            raise SandboxError("sandbox.no_network", str(answer.get("error", "no socket")))
        return socket.socket(fileno=descriptors[0])

    async def kill(self, key: str, reason: Reason) -> None:
        """See `base.Sandbox.kill`."""
        if (prepared := self._tasks.get(key)) is not None:
            await prepared.kill(reason)

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """See `base.Sandbox.outputs`. Raises `sandbox.task_unknown` if the task has no /out or has not ended."""
        if self._client is None or key not in self._tasks:
            raise SandboxError("sandbox.task_unknown", f"{key} is not prepared")
        answer, descriptors = await self._client.ask("outputs", {"key": key})
        if "error" in answer or not descriptors:
            raise SandboxError("sandbox.task_unknown", str(answer.get("error", "no outputs")))
        root = descriptors[0]

        def work() -> Collected:
            try:
                return collect.collect(root, patterns, spool, limits)
            finally:
                os.close(root)  # here: a cancelled caller doesn't stop the thread, which still reads through it

        return await asyncio.to_thread(work)

    async def release(self, key: str) -> None:
        """See `base.Sandbox.release`. What an engine that is away cannot remove is removed once it is back."""
        await self._remove(key)

    async def reap(self) -> None:
        """See `base.Sandbox.reap`."""
        keeper = await self._keeper()
        answer, _ = await keeper.ask("reap", {})
        if "error" in answer:
            raise SandboxError("sandbox.unavailable", f"{self.engine.name} does not answer: {answer['error']}")

    async def close(self) -> None:
        """See `base.Sandbox.close`."""
        await asyncio.gather(*(self._remove(key) for key in list(self._tasks)), return_exceptions=True)
        if self._client is not None:
            client, self._client = self._client, None
            await client.stop()
        await self._calls.close()

    # ------------------------------------------------------------------------------------------------ inside

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process id, for diagnosis; None while there is none."""
        return self._client.pid if self._client is not None else None

    async def _keeper(self) -> LauncherClient:
        """The keeper, started if there is none or the last one was lost."""
        async with self._starting:
            if self._client is not None and not self._client.lost:
                return self._client
            if self.engine.rootless:
                raise SandboxError(
                    "sandbox.unavailable",
                    f"{self.engine.name} runs without root and cannot bound what a job writes: run the engine as root,"
                    " or use bubblewrap",
                )
            if self._client is not None:
                await self._client.stop()
                self._owing = True
            (self._home / "volumes").mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._home / "empty").mkdir(mode=0o755, exist_ok=True)
            self._calls.write_profile()
            hello = {
                "home": str(self._home),
                "prefix": self._prefix,
                "engine": str(self.engine.socket),
                "first_user": self._first_user,
                "users": owned.USERS_PER_HOME,
                "groups": self.engine.cgroup_driver == "cgroupfs",
            }
            client, answer = await start_helper(KEEPER, self._home, hello)
            self._missing = answer["missing"]
            if mounts := self._missing.get("mounts"):
                await client.stop()
                raise SandboxError("sandbox.unavailable", mounts)
            self._client = client
            return client

    async def _remove(self, key: str) -> None:
        prepared = self._tasks.get(key)
        if prepared is None:
            return
        try:
            if not await prepared.remove():
                self._owing = True
        finally:
            self._tasks.pop(key, None)

    async def _pay(self, keeper: LauncherClient) -> None:
        """Remove what an engine that was away still has. It may still be away."""
        answer, _ = await keeper.ask("reap", {})
        self._owing = "error" in answer

    def _why_nothing_runs(self, said: str) -> str:
        if "cannot run with network enabled in root network namespace" in said:
            hint = 'register it with "runtimeArgs": ["--network=none"] in the engine\'s daemon.json, or update it'
        elif "hybrid mode" in said:
            hint = "use runc: this runtime does not take hosts with both versions of cgroups"
        else:
            hint = "see the engine's log"
        return f"a trivial program does not run in {self.engine.name} ({said}): {hint}"

    async def _host_user(self, key: str) -> int | None:
        """The host's user that a running task is."""
        try:
            process = (await self._calls.state(self._prefix + key)).pid
            status = Path(f"/proc/{process}/status").read_text()
            return int(status.split("\nUid:", 1)[1].split()[0])
        except (SandboxError, Refused, OSError, IndexError, ValueError):
            return None
