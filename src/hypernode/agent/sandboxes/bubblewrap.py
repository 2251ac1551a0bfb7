"""The bubblewrap backend: namespaces, cgroups, a system call filter, a user and a volume of its own for every job.

This is the agent's side: it says what the sandbox is made of, drains its output and reads its outputs. The privileged
steps happen in the `launcher`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypernode.agent import collect
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import output, owned, rootfs, seccomp, selftest, volumes
from hypernode.agent.sandboxes.base import (
    PROXY_PORT,
    STDERR,
    STDOUT,
    Capabilities,
    Images,
    OnOutput,
    OnStarted,
    Outcome,
    Reason,
    SandboxError,
    Task,
)
from hypernode.agent.sandboxes.client import LauncherClient, start_launcher


class _Prepared:
    """The agent's hold on a prepared task: the reading ends of its output."""

    def __init__(self, stdout: int, stderr: int, report: int | None, *, egress: bool) -> None:
        self.readers = {STDOUT: stdout, STDERR: stderr}
        self.report = report
        self.egress = egress
        self.ran = False

    def close(self) -> None:
        for descriptor in self.readers.values():
            os.close(descriptor)
        self.readers.clear()
        if self.report is not None:
            os.close(self.report)
            self.report = None


class BubblewrapSandbox:
    """Implements `base.Sandbox`. `home` is this node's alone; what is below it belongs to this class."""

    def __init__(
        self,
        home: Path,
        interpreter: Interpreter,
        *,
        bubblewrap: str | None = None,
        images: UnpackedImages | None = None,
    ) -> None:
        """`interpreter` runs the attacks of `probe`; tasks bring their own mounts. `images` is for tasks that run in
        one; see `unpacked.why_not` for hosts that can have none. Touches nothing yet."""
        self._home = home.resolve()
        self._interpreter = interpreter
        self._program = bubblewrap
        self._images = images
        self._prefix = owned.prefix(self._home)
        self._first_user = owned.first_user(self._home)
        self._client: LauncherClient | None = None
        self._offers: dict[str, Any] = {}
        self._starting = asyncio.Lock()
        self._prepared: dict[str, _Prepared] = {}

    # -------------------------------------------------------------------------------------------- interface

    @property
    def images(self) -> Images | None:
        """See `base.Sandbox.images`."""
        return self._images

    async def listen(self, key: str) -> socket.socket:
        """See `base.Sandbox.listen`."""
        prepared = self._prepared.get(key)
        if self._client is None or prepared is None or not prepared.egress:
            raise SandboxError("sandbox.no_network", f"{key} is no prepared task with egress")
        answer, descriptors = await self._client.ask("listen", {"key": key, "port": PROXY_PORT})
        if "error" in answer or not descriptors:
            raise SandboxError("sandbox.no_network", f"no way into the task's network: {answer.get('error')}")
        return socket.socket(fileno=descriptors[0])

    async def probe(self) -> Capabilities:
        """See `base.Sandbox.probe`. Takes one to three seconds."""
        await self._launcher()
        subject = selftest.Subject(
            backend="bubblewrap",
            level=2,
            missing=self._offers.get("missing", {}),
            host_user=self._host_user,
            why_nothing_runs=_why_nothing_runs,
        )
        return await selftest.prove(self, self._interpreter, subject)

    async def prepare(self, task: Task) -> None:
        """See `base.Sandbox.prepare`."""
        owned.check(task)
        if task.key in self._prepared:
            raise SandboxError("sandbox.task_invalid", f"{task.key} is prepared already")
        client = await self._launcher()
        if task.outputs and self._offers["volumes"]:
            folder = str(self._home / "volumes")
            try:
                await asyncio.to_thread(volumes.template, folder, task.limits.disk_bytes, task.limits.files)
            except OSError as error:
                raise SandboxError("sandbox.prepare_failed", str(error)) from error
        stdout_reader, stdout_writer = os.pipe()
        stderr_reader, stderr_writer = os.pipe()
        report_reader, report_writer = os.pipe() if task.report else (None, None)
        writers = [stdout_writer, stderr_writer, *([report_writer] if report_writer is not None else [])]
        prepared = _Prepared(stdout_reader, stderr_reader, report_reader, egress=task.egress)
        self._prepared[task.key] = prepared
        try:
            answer, _ = await client.ask("prepare", self._request(task), writers)
            if "error" in answer:
                raise SandboxError("sandbox.prepare_failed", answer["error"])
        except BaseException:
            prepared.close()
            del self._prepared[task.key]
            with contextlib.suppress(SandboxError):
                await client.ask("release", {"key": task.key})  # for a cancelled request, whose answer nobody read
            raise
        finally:
            for writer in writers:
                os.close(writer)

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """See `base.Sandbox.run`."""
        prepared = self._prepared.get(task.key)
        if prepared is None or prepared.ran:
            raise SandboxError("sandbox.task_unknown", f"{task.key} is not prepared")
        prepared.ran = True
        client = self._client
        assert client is not None, "a prepared task has a launcher"
        log = output.OutputLog(task.limits.log_bytes, on_output, lambda: self.kill(task.key, Reason.LOG_LIMIT))
        asked = asyncio.create_task(client.ask("run", {"key": task.key}))
        draining = [asyncio.create_task(log.drain(stream, fd)) for stream, fd in prepared.readers.items()]
        prepared.readers.clear()  # `drain` owns and closes them
        if prepared.report is not None:
            draining.append(asyncio.create_task(log.drain_report(prepared.report)))
            prepared.report = None
        try:
            await asyncio.sleep(0)  # the request goes out before anybody else's code runs
            if on_started is not None and inspect.isawaitable(waiting := on_started()):
                await waiting
            await asyncio.wait([asked, *draining], return_when=asyncio.FIRST_EXCEPTION)
            for finished in (asked, *draining):
                if finished.done():
                    finished.result()
        except SandboxError as error:
            await self._finish_off(task.key, asked)
            return output.infrastructure(str(error), log)
        except BaseException:
            await self._finish_off(task.key, asked)
            raise
        finally:
            for reading in draining:
                reading.cancel()
            await asyncio.gather(*draining, return_exceptions=True)
        answer, _ = asked.result()
        return output.outcome(answer, log)

    async def kill(self, key: str, reason: Reason) -> None:
        """See `base.Sandbox.kill`."""
        if self._client is not None and key in self._prepared:
            await self._client.ask("kill", {"key": key, "reason": reason.value})

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """See `base.Sandbox.outputs`. Raises `sandbox.task_unknown` if the task has no /out or has not ended."""
        if self._client is None or key not in self._prepared:
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
        """See `base.Sandbox.release`."""
        prepared = self._prepared.pop(key, None)
        if prepared is None:
            return
        prepared.close()
        if self._client is not None and not self._client.lost:
            answer, _ = await self._client.ask("release", {"key": key})
            if "error" in answer:
                raise SandboxError("sandbox.prepare_failed", f"cannot tidy up after {key}: {answer['error']}")

    async def reap(self) -> None:
        """See `base.Sandbox.reap`."""
        client = await self._launcher()
        await client.ask("reap", {})
        if self._images is not None:
            await self._images.reap()

    async def close(self) -> None:
        """See `base.Sandbox.close`."""
        for prepared in self._prepared.values():
            prepared.close()
        self._prepared.clear()
        if self._client is not None:
            client, self._client = self._client, None
            await client.stop()

    # -------------------------------------------------------------------------------------------- inside

    @property
    def launcher_pid(self) -> int | None:
        """The launcher's process id, for diagnosis; None while there is none."""
        return self._client.pid if self._client is not None else None

    async def _launcher(self) -> LauncherClient:
        """The launcher, started if there is none or the last one was lost."""
        async with self._starting:
            if self._client is not None and not self._client.lost:
                return self._client
            if self._client is not None:
                await self._client.stop()
            program = self._program or shutil.which("bwrap")
            if program is None:
                raise SandboxError("sandbox.unavailable", "bubblewrap is missing: apt install bubblewrap")
            compiled = await asyncio.to_thread(seccomp.program)
            (self._home / "volumes").mkdir(mode=0o700, parents=True, exist_ok=True)
            await asyncio.to_thread(rootfs.make_etc, self._home / "etc")
            self._client, self._offers = await start_launcher(
                self._home, self._prefix, self._first_user, program, compiled
            )
            return self._client

    async def _host_user(self, key: str) -> int | None:
        """The host's view of who the launcher's child is."""
        launcher = self.launcher_pid
        try:
            children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
            status = Path(f"/proc/{children[0]}/status").read_text()
            return int(status.split("\nUid:", 1)[1].split()[0])
        except (OSError, IndexError, ValueError):
            return None

    def _request(self, task: Task) -> dict[str, Any]:
        sources = rootfs.sources(task, self._home / "etc")
        base = f"{self._offers['places']}/{task.key}"
        private = bool(self._offers["places"])
        places = [f"{base}/m{i}" for i in range(len(sources))] if private else sources
        place = f"{base}/out" if private else f"{self._home}/volumes/folder-{task.key}"
        limits = task.limits
        return {
            "key": task.key,
            "sources": sources,
            "options": rootfs.options(task, places, place if task.outputs else None),
            "argv": list(task.argv),
            "outputs": task.outputs,
            "limits": {name: getattr(limits, name) for name in limits.__struct_fields__},
        }

    async def _finish_off(self, key: str, asked: asyncio.Task[Any]) -> None:
        """Kill and wait, whatever else happens: a cancelled run must not leave its program running."""
        with contextlib.suppress(SandboxError):
            if not asked.done():
                await self.kill(key, Reason.CANCELLED)
            await asked


def _why_nothing_runs(said: str) -> str:
    if "namespace" in said or "Operation not permitted" in said or "setting up uid map" in said:
        return (
            f"this host refuses user namespaces ({said}): set kernel.unprivileged_userns_clone=1 and"
            " user.max_user_namespaces, or add an AppArmor profile for bwrap (Ubuntu 23.10 and later)"
        )
    return f"a trivial program does not run in bubblewrap: {said}"
