"""The container engine backend: one container for every task, bounded by the engine and, where that works, by us.

Preparing a task makes everything but its first process: volume, cgroup, container, and the connection that its output
will come through. The `keeper` holds what must go when this process goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from hypernode.agent import collect
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import output, owned, seccomp, selftest, volumes
from hypernode.agent.sandboxes.base import (
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
from hypernode.agent.sandboxes.engine import container, ending, sweep, world
from hypernode.agent.sandboxes.engine.api import CALL_S, START_S, EngineClient, Refused
from hypernode.agent.sandboxes.engine.attached import Output
from hypernode.agent.sandboxes.engine.container import Container, Volume
from hypernode.agent.sandboxes.engine.find import Engine, Kind

log = logging.getLogger(__name__)

SETTLE_S: Final = 20.0
"""How long an engine may take to notice that a container has ended, and the kernel to let go of what was in it."""
REPORT_BYTES: Final = volumes.MINIMUM_BYTES
REPORT_FILES: Final = 16
OWN_KERNEL_THREADS: Final = 256
"""gVisor's own threads count as the task's. What a task may have comes on top, and its kernel does not count that by
itself: a fork bomb there ends at both together, and with the whole task."""
LIBPOD: Final = "/v4.0.0/libpod"
BESIDE: Final = 16
"""Room in our cgroup for an engine's process beside the container."""


_REMEDIES: Final = {
    "memory": "the engine ignores limits: run it as root, on a host whose cgroups it may use",
    "processes": "the engine ignores limits: run it as root, on a host whose cgroups it may use",
    "cpu": "the engine ignores limits: run it as root, on a host whose cgroups it may use",
    "network": "the engine does not keep containers off the network: update it",
    "time": "report this as a bug: nothing was killed at its deadline",
    "uid": "the engine runs containers as root or as the node: do not let it change users (userns-remap)",
    "calls": "the engine does not apply system call profiles: install libseccomp, and an engine built with it",
}


class _Created(msgspec.Struct):
    id: str = msgspec.field(name="Id")


class _Waited(msgspec.Struct, rename="pascal"):
    status_code: int


class _ImageConfig(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    volumes: dict[str, object] | None = None


class _InspectedImage(msgspec.Struct, rename="pascal"):
    config: _ImageConfig | None = None


class _ListedImage(msgspec.Struct, rename="pascal"):
    id: str


class _Made:
    """The agent's hold on a prepared task."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.id = ""
        self.volumes: list[str] = []
        self.response: httpx.Response | None = None
        self.output: Output | None = None
        self.not_startable: tuple[int, str] | None = None
        self.ran = False
        self.ended = False
        self.reason: Reason | None = None


class EngineSandbox:
    """Implements `base.Sandbox` with one runtime of one engine. `home` is this object's alone.

    `Limits.processes` bounds what the host sees; see OWN_KERNEL_THREADS for runtimes with a kernel of their own.
    """

    def __init__(
        self, home: Path, interpreter: Interpreter, engine: Engine, *, images: Images | None = None
    ) -> None:
        """`interpreter` runs the attacks of `probe`; tasks bring their own mounts. `images` are those of the engine,
        which its runtimes share. Touches nothing yet."""
        self.engine = engine
        self._images = images
        self._home = home.resolve()
        self._interpreter = interpreter
        self._prefix = owned.prefix(self._home)
        self._first_user = owned.first_user(self._home)
        self._api = EngineClient(engine.socket)
        self._client: LauncherClient | None = None
        self._missing: dict[str, str] = {}
        self._starting = asyncio.Lock()
        self._base = ""
        self._basing = asyncio.Lock()
        self._made: dict[str, _Made] = {}
        self._killing: set[asyncio.Task[None]] = set()
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
            remedies=_REMEDIES,
            own_threads=OWN_KERNEL_THREADS if self.engine.own_kernel else 0,
        )
        return await selftest.prove(self, self._interpreter, subject)

    async def prepare(self, task: Task) -> None:
        """See `base.Sandbox.prepare`."""
        owned.check(task)
        if task.egress:
            raise SandboxError("sandbox.no_network", "this sandbox lets nothing out")
        if task.key in self._made:
            raise SandboxError("sandbox.task_invalid", f"{task.key} is prepared already")
        made = self._made[task.key] = _Made(task)
        try:
            keeper = await self._keeper()
            if self._owing:
                await self._pay(keeper)
            await self._make(keeper, made)
        except BaseException as error:
            del self._made[task.key]
            await self._undo(made)
            if isinstance(error, Refused | OSError):
                raise SandboxError("sandbox.prepare_failed", str(error)) from error
            raise

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """See `base.Sandbox.run`."""
        made = self._made.get(task.key)
        if made is None or made.ran:
            raise SandboxError("sandbox.task_unknown", f"{task.key} is not prepared")
        made.ran = True

        async def over_limit() -> None:
            self._kill_soon(made, Reason.LOG_LIMIT)  # not awaited: reading must go on for it to work

        written = output.OutputLog(task.limits.log_bytes, on_output, over_limit)
        if made.not_startable is not None:
            await _call(on_started)
            return self._never_started(made, made.not_startable, written)
        assert made.response is not None, "only a task that cannot start has no connection"
        made.output = Output(made.response, written)
        running: set[asyncio.Task[Any]] = set()
        try:
            return await self._run(made, written, on_started, running)
        except (SandboxError, Refused, TimeoutError) as error:
            await self._finish_off(made)
            return output.infrastructure(str(error) or "the engine did not say how the container ended", written)
        except BaseException:
            await self._finish_off(made)
            raise
        finally:
            made.ended = True
            for work in running:
                work.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await made.response.aclose()

    async def listen(self, key: str) -> socket.socket:
        """See `base.Sandbox.listen`."""
        raise SandboxError("sandbox.no_network", "this sandbox lets nothing out")

    async def kill(self, key: str, reason: Reason) -> None:
        """See `base.Sandbox.kill`."""
        made = self._made.get(key)
        if made is not None and made.ran and not made.ended:
            await self._kill(made, reason)

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """See `base.Sandbox.outputs`. Raises `sandbox.task_unknown` if the task has no /out or has not ended."""
        if self._client is None or key not in self._made:
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
        made = self._made.pop(key, None)
        if made is not None:
            await self._undo(made)

    async def reap(self) -> None:
        """See `base.Sandbox.reap`."""
        keeper = await self._keeper()
        answer, _ = await keeper.ask("reap", {})
        if "error" in answer:
            raise SandboxError("sandbox.unavailable", f"{self.engine.name} does not answer: {answer['error']}")

    async def close(self) -> None:
        """See `base.Sandbox.close`."""
        made = list(self._made.values())
        self._made.clear()
        await asyncio.gather(*(self._undo(one) for one in made), return_exceptions=True)
        if self._client is not None:
            client, self._client = self._client, None
            await client.stop()
        await self._api.close()
        self._api = EngineClient(self.engine.socket)

    # ------------------------------------------------------------------------------------------------ preparing

    async def _make(self, keeper: LauncherClient, made: _Made) -> None:
        task, limits = made.task, made.task.limits
        folder = str(self._home / "volumes")
        sizes: dict[str, tuple[int, int] | None] = {
            "out": (limits.disk_bytes, limits.files) if task.outputs else None,
            "report": (REPORT_BYTES, REPORT_FILES) if task.report else None,
        }
        for size in sizes.values():
            if size is not None:
                await asyncio.to_thread(volumes.template, folder, *size)
        processes = limits.processes + (OWN_KERNEL_THREADS if self.engine.own_kernel else 0)
        bounds = {**msgspec.to_builtins(limits), "processes": processes + BESIDE}
        answer, _ = await keeper.ask("prepare", {"key": task.key, "limits": bounds, **sizes})
        if "error" in answer:
            raise SandboxError("sandbox.prepare_failed", answer["error"])
        labels = {sweep.LABEL: self._prefix, sweep.KEY_LABEL: task.key}
        shown: list[Volume] = []
        for volume, device in answer["devices"].items():
            name = f"{self._prefix}{task.key}-{volume}"
            made.volumes.append(name)
            await self._api.do("POST", "/volumes/create", body=container.volume(name, device, labels))
            shown.append(Volume(name, "/out" if volume == "out" else world.REPORT_FOLDER))
        image = task.image.root if task.image is not None else await self._base_image()
        hidden, covered = await self._image_wants(task, shown) if task.image is not None else ((), ())
        described = Container(
            name=self._prefix + task.key,
            image=image,
            runtime=self.engine.runtime,
            argv=task.argv,
            environment=world.environment(task),
            hidden=hidden,
            covered=covered,
            user=answer["user"],
            working_folder=task.working_folder,
            binds=tuple(world.binds(task, self._home / "empty")),
            volumes=tuple(shown),
            limits=limits,
            processes=processes,
            parent=answer["parent"],
            seccomp=self._profile(),
            labels=labels,
        )
        made.id = await self._create(described)
        try:
            made.response = await self._api.open(
                "POST", f"/containers/{made.id}/attach", {"stream": 1, "stdout": 1, "stderr": 1}
            )
        except Refused as error:  # Podman starts all but the program here
            made.not_startable = ending.not_startable(str(error))
            if made.not_startable is None:
                raise
        answer, _ = await keeper.ask("claim", {"key": task.key, "container": made.id})
        if "error" in answer:
            raise SandboxError("sandbox.prepare_failed", answer["error"])

    async def _create(self, described: Container) -> str:
        if self.engine.kind is Kind.PODMAN:
            body, path = container.podman(described), f"{LIBPOD}/containers/create"
            created = await self._api.ask("POST", path, _Created, body=body, within_s=START_S)
        else:
            body, query = container.docker(described), {"name": described.name}
            created = await self._api.ask(
                "POST", "/containers/create", _Created, body=body, query=query, within_s=START_S
            )
        return created.id

    async def _image_wants(self, task: Task, shown: Sequence[Volume]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What an image asks for and does not get: variables that are not the task's, and writable volumes."""
        assert task.image is not None
        found = await self._api.ask("GET", f"/images/{task.image.root}/json", _InspectedImage)
        config = found.config or _ImageConfig()
        names = {pair.split("=", 1)[0] for pair in config.env or ()}
        taken = {"/tmp", *(volume.target for volume in shown), *(mount.target for mount in task.mounts)}
        folders = {folder.rstrip("/") for folder in config.volumes or ()}
        return tuple(sorted(names - world.environment(task).keys())), tuple(sorted(folders - taken))

    async def _base_image(self) -> str:
        """The id of the image of tasks without one, loaded if it is not there."""
        async with self._basing:
            if self._base:
                return self._base
            made = await asyncio.to_thread(world.base_image, self._first_user, sweep.LABEL, self._prefix)
            try:
                await self._api.do("GET", f"/images/{made.id}/json")
            except Refused as error:
                if error.status != 404:
                    raise
                await self._api.do("POST", "/images/load", query={"quiet": 1}, content=made.archive, within_s=START_S)
            # An older one is of a host whose libraries were others.
            query = {"filters": msgspec.json.encode({"label": [f"{sweep.LABEL}={self._prefix}"]}).decode()}
            for other in await self._api.ask("GET", "/images/json", list[_ListedImage], query=query):
                if other.id.removeprefix("sha256:") != made.id.removeprefix("sha256:"):
                    with contextlib.suppress(Refused):
                        await self._api.do("DELETE", f"/images/{other.id}")
            self._base = made.id
            return made.id

    def _profile(self) -> str:
        if self.engine.kind is Kind.PODMAN:
            return str(self._home / "seccomp.json")
        return container.profile(seccomp.profile())

    # ------------------------------------------------------------------------------------------------ running

    async def _run(
        self, made: _Made, written: output.OutputLog, on_started: OnStarted | None, running: set[asyncio.Task[Any]]
    ) -> Outcome:
        task, out = made.task, made.output
        assert out is not None
        keeper = await self._keeper()
        reading = asyncio.create_task(out.read())
        running.add(reading)
        asked = time.monotonic()
        try:
            await self._api.do("POST", f"/containers/{made.id}/start", within_s=START_S)
        except Refused as error:
            if (found := ending.not_startable(str(error))) is None:
                raise
            await _call(on_started)
            return self._never_started(made, found, written)
        answered = time.monotonic()
        await _call(on_started)
        deadline = asyncio.get_running_loop().call_later(
            max(0.0, answered + task.limits.wall_ms / 1000 - time.monotonic()),
            lambda: self._kill_soon(made, Reason.TIMEOUT),
        )
        try:
            state = await self._state(made)
            # Podman had made all but the program before; what Docker's runtime used until now is not the program's.
            watch = {"key": task.key, "process": state.pid, "from_now": self.engine.kind is Kind.DOCKER}
            watching = asyncio.create_task(keeper.ask("watch", watch))
            waiting = asyncio.create_task(self._wait(made))
            delivering = asyncio.create_task(out.deliver())
            running |= {watching, waiting, delivering}
            if made.reason is not None:  # it came while the container was starting
                self._kill_soon(made, made.reason)
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
            answer, _ = await watching
            made.ended = True
            code = await waiting
            await reading
            state = await self._state(made)
        if "error" in answer or not 0 <= code <= 255:
            raise SandboxError("sandbox.engine_lost", f"no exit code: {answer.get('error', code)}")
        kept = ending.kept(answer)
        clock = ending.Clock(asked, answered, time.monotonic(), time.time())
        await delivering
        limits = task.limits
        return ending.outcome(
            made.reason,
            code,
            state,
            kept,
            limits.memory_bytes,
            ending.wall_ms(state, kept.ended_at, clock),
            written.bytes,
        )

    async def _state(self, made: _Made) -> ending.State:
        return (await self._api.ask("GET", f"/containers/{made.id}/json", ending.Inspected)).state

    async def _wait(self, made: _Made) -> int:
        """The container's exit code, once it has ended."""
        within_s = made.task.limits.wall_ms / 1000 + SETTLE_S + CALL_S
        path, query = f"/containers/{made.id}/wait", {"condition": "not-running", "interval": "10ms"}
        return (await self._api.ask("POST", path, _Waited, query=query, within_s=within_s)).status_code

    def _never_started(self, made: _Made, why: tuple[int, str], written: output.OutputLog) -> Outcome:
        made.ended = True
        nothing = ending.Kept(0.0, False, 0, 0, 0, False, "")
        ended = ending.outcome(made.reason, why[0], ending.State(), nothing, 1, 0, written.bytes)
        return msgspec.structs.replace(ended, detail=why[1] if ended.reason is Reason.EXITED else "")

    def _kill_soon(self, made: _Made, reason: Reason) -> None:
        killing = asyncio.create_task(self._kill(made, reason))
        self._killing.add(killing)
        killing.add_done_callback(self._killing.discard)

    async def _kill(self, made: _Made, reason: Reason) -> None:
        """The first reason stays. Twice over: the keeper is quick, and the engine is there even without a cgroup."""
        made.reason = made.reason or reason
        if made.output is not None:
            made.output.hurry()
        if self._client is not None:
            with contextlib.suppress(SandboxError):
                await self._client.ask("kill", {"key": made.task.key})
        with contextlib.suppress(SandboxError, Refused):
            await self._api.do("POST", f"/containers/{made.id}/kill", query={"signal": "SIGKILL"})

    async def _finish_off(self, made: _Made) -> None:
        """Kill and wait, whatever else happens: a failed or cancelled run must not leave its program running."""
        if made.ended:
            return
        with contextlib.suppress(SandboxError, Refused, TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._kill(made, Reason.CANCELLED)
                if self._client is not None:
                    await self._client.ask("watch", {"key": made.task.key, "process": 0, "from_now": False})

    async def _undo(self, made: _Made) -> None:
        """Nothing of a task is left afterwards, unless the engine is away: then it is owed."""
        if made.ran and not made.ended:
            await self._finish_off(made)
        if made.response is not None:
            await made.response.aclose()
        calls = [f"/volumes/{name}" for name in made.volumes]
        if made.id:
            calls.insert(0, f"/containers/{made.id}")
        elif calls:
            calls.insert(0, f"/containers/{self._prefix}{made.task.key}")  # made perhaps, and nobody heard of it
        for path in calls:
            try:
                await self._api.do("DELETE", path, query={"force": 1, "v": 1}, within_s=START_S)
            except Refused as error:
                if error.status != 404:
                    log.warning("%s keeps %s: %s", self.engine.name, path, error)
                    self._owing = True
            except SandboxError as error:
                log.warning("%s is owed the removal of %s: %s", self.engine.name, path, error)
                self._owing = True
                break
        if self._client is not None and not self._client.lost:
            answer, _ = await self._client.ask("release", {"key": made.task.key})
            if "error" in answer:
                raise SandboxError("sandbox.prepare_failed", f"cannot tidy up after {made.task.key}: {answer['error']}")

    # ------------------------------------------------------------------------------------------------ the keeper

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
            (self._home / "seccomp.json").write_text(container.profile(seccomp.profile()))
            hello = {
                "home": str(self._home),
                "prefix": self._prefix,
                "engine": str(self.engine.socket),
                "first_user": self._first_user,
                "users": owned.USERS_PER_HOME,
                "groups": self.engine.cgroup_driver == "cgroupfs",
            }
            client, answer = await start_helper("hypernode.agent.sandboxes.engine.keeper", self._home, hello)
            self._missing = answer["missing"]
            if mounts := self._missing.get("mounts"):
                await client.stop()
                raise SandboxError("sandbox.unavailable", mounts)
            self._client = client
            return client

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
        made = self._made.get(key)
        if made is None:
            return None
        try:
            process = (await self._state(made)).pid
            status = Path(f"/proc/{process}/status").read_text()
            return int(status.split("\nUid:", 1)[1].split()[0])
        except (SandboxError, Refused, OSError, IndexError, ValueError):
            return None


async def _call(on_started: OnStarted | None) -> None:
    if on_started is not None and inspect.isawaitable(waiting := on_started()):
        await waiting
