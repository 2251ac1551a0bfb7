"""One task from its container's making to its removal, as the agent drives it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from hypernode.agent.sandboxes import output, volumes
from hypernode.agent.sandboxes.base import OnOutput, OnStarted, Outcome, Reason, SandboxError, Task
from hypernode.agent.sandboxes.client import LauncherClient
from hypernode.agent.sandboxes.engine import describing, ending, sweep, world
from hypernode.agent.sandboxes.engine.api import Refused
from hypernode.agent.sandboxes.engine.attached import Output
from hypernode.agent.sandboxes.engine.calls import NOT_FOUND, EngineCalls, ImageWants
from hypernode.agent.sandboxes.engine.container import Volume
from hypernode.agent.sandboxes.engine.find import Engine, Kind

log = logging.getLogger(__name__)

SETTLE_S: Final = 20.0
"""How long an engine may take to notice that a container has ended, and the kernel to let go of what was in it."""
REPORT_BYTES: Final = volumes.MINIMUM_BYTES
REPORT_FILES: Final = 16
BESIDE: Final = 32
"""Threads in our cgroup that are not the task's: of the engine's process beside it, of the holder of its network."""


class Tools(NamedTuple):
    """What every task of a sandbox is made with."""

    engine: Engine
    calls: EngineCalls
    home: Path
    prefix: str
    keeper: Callable[[], LauncherClient | None]
    """The keeper, while there is one."""


class Prepared:
    """Nothing is made before `make`, and nothing is left after `remove`."""

    def __init__(self, tools: Tools, task: Task) -> None:
        self.task = task
        self.ran = False
        self.ended = False
        self._tools = tools
        self._calls = tools.calls
        self._name = tools.prefix + task.key
        self._id = ""
        self._holder = ""
        self._volumes: list[str] = []
        self._asked = False
        self._making: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._response: httpx.Response | None = None
        self._output: Output | None = None
        self._not_startable: tuple[int, str] | None = None
        self._reason: Reason | None = None
        self._killing: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------------------ making

    async def make(self, keeper: LauncherClient) -> None:
        """Everything but the program. Raises SandboxError, Refused, OSError; `remove` is due then, too."""
        # Cancelling it would end the wait and not the engine's work, of which `remove` has to hear.
        self._making = asyncio.create_task(self._make(keeper))
        await asyncio.shield(self._making)

    async def _make(self, keeper: LauncherClient) -> None:
        task = self.task
        kept = await self._keep(keeper)
        labels = {sweep.LABEL: self._tools.prefix, sweep.KEY_LABEL: task.key}
        shown: list[Volume] = []
        for volume, device in kept["devices"].items():
            # No key begins with an underscore.
            self._volumes.append(f"{self._tools.prefix}_{volume}_{task.key}")
            await self._calls.make_volume(self._volumes[-1], device, labels)
            shown.append(Volume(self._volumes[-1], "/out" if volume == "out" else world.REPORT_FOLDER))
        base = await self._calls.base_image() if task.image is None or task.egress else ""
        same: dict[str, Any] = {
            "user": kept["user"],
            "empty": self._tools.home / "empty",
            "parent": kept["parent"],
            "seccomp": self._calls.profile,
            "labels": labels,
        }
        docker = self._tools.engine.kind is Kind.DOCKER
        if task.egress and docker:
            self._holder = f"{self._tools.prefix}_network_{task.key}"
            await self._calls.make(describing.network_holder(self._tools.engine, name=self._holder, image=base, **same))
            await self._calls.start(self._holder)
            await self._hold(keeper, self._holder)
        wants, covered = ImageWants(), list[Volume]()
        if task.image is not None and docker:  # Podman can be told to ignore them
            wants = await self._calls.image_wants(task.image.root)
            for number, folder in enumerate(describing.covered(wants, task, shown)):
                covered.append(Volume(f"{self._tools.prefix}_image{number}_{task.key}", folder))
                self._volumes.append(covered[-1].name)
        described = describing.of_task(
            self._tools.engine,
            task,
            name=self._name,
            image=task.image.root if task.image is not None else base,
            wants=wants,
            volumes=shown,
            covered=covered,
            network=self._holder,
            **same,
        )
        self._asked = True
        try:
            self._id = await self._calls.make(described)
        except Refused as error:
            if error.status == NOT_FOUND:
                self._calls.base_image_is_gone()
            raise
        try:
            self._response = await self._calls.attach(self._id)
        except Refused as error:  # Podman starts all but the program here
            self._not_startable = ending.not_startable(str(error))
            if self._not_startable is None:
                raise
        await _answered(keeper, "claim", {"key": task.key, "container": self._id})
        if task.egress and not docker and self._not_startable is None:
            await self._hold(keeper, self._id)

    async def _keep(self, keeper: LauncherClient) -> dict[str, Any]:
        task, limits = self.task, self.task.limits
        sizes = {
            "out": (limits.disk_bytes, limits.files) if task.outputs else None,
            "report": (REPORT_BYTES, REPORT_FILES) if task.report else None,
        }
        for size in sizes.values():
            if size is not None:
                await asyncio.to_thread(volumes.template, str(self._tools.home / "volumes"), *size)
        processes = describing.processes(self._tools.engine, task) + BESIDE
        bounds = {**msgspec.to_builtins(limits), "processes": processes}
        return await _answered(keeper, "prepare", {"key": task.key, "limits": bounds, **sizes})

    async def _hold(self, keeper: LauncherClient, container: str) -> None:
        """Have the keeper know a process whose network the task's is."""
        state = await self._calls.state(container)
        await _answered(keeper, "network", {"key": self.task.key, "process": state.pid})

    # ------------------------------------------------------------------------------------------------ running

    async def run(self, on_output: OnOutput, on_started: OnStarted | None) -> Outcome:
        """See `base.Sandbox.run`."""
        self.ran = True

        async def over_limit() -> None:
            self._kill_soon(Reason.LOG_LIMIT)  # not awaited: reading must go on for it to work

        written = output.OutputLog(self.task.limits.log_bytes, on_output, over_limit)
        if self._response is None:
            assert self._not_startable is not None, "only a task that cannot start has no connection"
            await _call(on_started)
            return self._never_started(self._not_startable, written)
        self._output = Output(self._response, written)
        running: set[asyncio.Task[Any]] = set()
        try:
            return await self._run(self._output, written, on_started, running)
        except (SandboxError, Refused, TimeoutError) as error:
            reason = self._reason
            await self.finish_off()
            if reason is not None and isinstance(error, Refused):  # killed before it had started
                return self._never_started((ending.SIGKILLED, ""), written)
            return output.infrastructure(str(error) or "the engine did not say how the container ended", written)
        except BaseException:
            await self.finish_off()
            raise
        finally:
            self.ended = True
            for work in running:
                work.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._response.aclose()

    async def _run(
        self, out: Output, written: output.OutputLog, on_started: OnStarted | None, running: set[asyncio.Task[Any]]
    ) -> Outcome:
        task, limits = self.task, self.task.limits
        keeper = self._tools.keeper()
        if keeper is None:
            raise SandboxError("sandbox.launcher_lost", "the keeper has ended; its tasks have been killed")
        reading = asyncio.create_task(out.read())
        running.add(reading)
        asked = time.monotonic()
        self._starting = asyncio.create_task(self._calls.start(self._id))
        try:
            await asyncio.shield(self._starting)
        except Refused as error:
            if (found := ending.not_startable(str(error))) is None:
                raise
            await _call(on_started)
            return self._never_started(found, written)
        answered = time.monotonic()
        await _call(on_started)
        deadline = asyncio.get_running_loop().call_later(
            max(0.0, answered + limits.wall_ms / 1000 - time.monotonic()), lambda: self._kill_soon(Reason.TIMEOUT)
        )
        try:
            state = await self._calls.state(self._id)
            # Podman had made all but the program before; what Docker's runtime used until now is not the program's.
            watch = {"key": task.key, "process": state.pid, "from_now": self._tools.engine.kind is Kind.DOCKER}
            watching = asyncio.create_task(_answered(keeper, "watch", watch))
            waiting = asyncio.create_task(self._calls.wait(self._id, limits.wall_ms / 1000 + SETTLE_S))
            delivering = asyncio.create_task(out.deliver())
            running |= {watching, waiting, delivering}
            if self._reason is not None:  # it came while the container was starting
                self._kill_soon(self._reason)
            undone = set(running)
            while not (watching.done() or waiting.done()):
                done, _ = await asyncio.wait(undone, return_when=asyncio.FIRST_COMPLETED)
                undone -= done
                for one in done:
                    one.result()
        finally:
            deadline.cancel()
        out.hurry()
        async with asyncio.timeout(SETTLE_S):
            kept = ending.kept(await watching)
            code = await waiting
            await reading
            state = await self._calls.state(self._id)
        self.ended = True
        if not 0 <= code <= 255:
            raise SandboxError("sandbox.engine_lost", f"the engine says a container ended with {code}")
        clock = ending.Clock(asked, answered, time.monotonic(), time.time())
        await delivering
        wall_ms = ending.wall_ms(state, kept.ended_at, clock)
        return ending.outcome(self._reason, code, state, kept, limits.memory_bytes, wall_ms, written.bytes)

    def _never_started(self, why: tuple[int, str], written: output.OutputLog) -> Outcome:
        self.ended = True
        nothing = ending.Kept(0.0, False, 0, 0, 0, False, "")
        ended = ending.outcome(self._reason, why[0], ending.State(), nothing, 1, 0, written.bytes)
        return msgspec.structs.replace(ended, detail=why[1] if ended.reason is Reason.EXITED else "")

    # ------------------------------------------------------------------------------------------------ ending

    async def kill(self, reason: Reason) -> None:
        """The first reason stays. Twice over: the keeper is quick, and the engine is there even without a cgroup."""
        if self.ended or not self.ran:
            return
        self._reason = self._reason or reason
        if self._output is not None:
            self._output.hurry()
        if (keeper := self._tools.keeper()) is not None:
            with contextlib.suppress(SandboxError):
                await keeper.ask("kill", {"key": self.task.key})
        with contextlib.suppress(SandboxError, Refused):
            await self._calls.kill(self._id)

    async def finish_off(self) -> None:
        """Kill and wait, whatever else happens: a failed or cancelled run must not leave its program running."""
        if self.ended or not self.ran:
            return
        with contextlib.suppress(SandboxError, Refused, TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                if self._starting is not None:  # what is being started can be killed only once it has
                    await _ended(self._starting)
                await self.kill(Reason.CANCELLED)
                if (keeper := self._tools.keeper()) is not None and not keeper.lost:
                    await keeper.ask("watch", {"key": self.task.key, "process": 0, "from_now": False})
                else:
                    await self._calls.wait(self._id, SETTLE_S)

    async def remove(self) -> bool:
        """Nothing of the task is left afterwards: True. False if the engine is away or refuses, and owes it."""
        if self._making is not None:
            await _ended(self._making)
        await self.finish_off()
        if self._response is not None:
            await self._response.aclose()
        paid = True
        try:
            if self._asked:
                await self._calls.remove(self._id or self._name)  # made perhaps, and nobody heard of it
            if self._holder:
                await self._calls.remove(self._holder)
            for volume in self._volumes:
                await self._calls.remove_volume(volume)
        except (Refused, SandboxError) as error:
            log.warning("%s owes the removal of %s: %s", self._tools.engine.name, self._name, error)
            paid = False
        keeper = self._tools.keeper()
        if keeper is not None and not keeper.lost:
            await _answered(keeper, "release", {"key": self.task.key})
        return paid

    def _kill_soon(self, reason: Reason) -> None:
        killing = asyncio.create_task(self.kill(reason))
        self._killing.add(killing)
        killing.add_done_callback(self._killing.discard)


async def _answered(keeper: LauncherClient, what: str, message: dict[str, Any]) -> dict[str, Any]:
    """The keeper's answer. Raises SandboxError: `sandbox.prepare_failed` if it could not do it."""
    answer, _ = await keeper.ask(what, message)
    if "error" in answer:
        raise SandboxError("sandbox.prepare_failed", f"{what}: {answer['error']}")
    return answer


async def _ended(work: asyncio.Task[None]) -> None:
    """Wait for the end of what has been left to itself, however it ended."""
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()


async def _call(on_started: OnStarted | None) -> None:
    if on_started is not None and inspect.isawaitable(waiting := on_started()):
        await waiting
