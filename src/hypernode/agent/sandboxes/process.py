"""The sandbox of hosts that have no other: a child process that bounds and confines itself, as far as the host can.

It holds the WebAssembly host, a program of ours that keeps what it runs in its own sandbox; nothing else may run here.
Resource limits bound its addresses and files, Landlock (where the kernel has it) what it may open, the system call
filter (where libseccomp is there) what it may ask of the kernel. There is no namespace, no cgroup and no other user.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hypernode.agent import collect
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import folders, output, seccomp
from hypernode.agent.sandboxes.base import (
    STDERR,
    STDOUT,
    Capabilities,
    Failure,
    Images,
    OnOutput,
    OnStarted,
    Outcome,
    Reason,
    SandboxError,
    Task,
    Usage,
)

CONFINE: Final = Path(__file__).with_name("confine.py")
ROOT_VARIABLE: Final = "HYPERNODE_ROOT"
"""Names the folder that stands for / where a task has no file system of its own."""
WATCH_S: Final = 0.5
OPEN_FILES: Final = 256
OWN_ADDRESSES: Final = 128 << 20
"""For what confines the child: a second thread and its stack, which must not take addresses from the module's."""
READABLE: Final = ("/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/proc/self")

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Prepared:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None
        self.reason: Reason | None = None
        self.ended = False


class ProcessSandbox:
    """Implements `base.Sandbox` for tasks with a `report`, whose program is a Python script: (executable of the
    interpreter, options, script, arguments). `home` is this class's alone."""

    def __init__(self, home: Path, interpreter: Interpreter) -> None:
        """Touches nothing yet."""
        self._home = home.resolve()
        self._interpreter = interpreter
        self._prepared: dict[str, _Prepared] = {}
        self._filter: Path | None = None

    # -------------------------------------------------------------------------------------------- interface

    @property
    def images(self) -> Images | None:
        """See `base.Sandbox.images`: a process has no file system of its own."""
        return None

    async def probe(self) -> Capabilities:
        """Nothing is proved for programs in general: level 0. What WebAssembly proves here is its own."""
        self._make_filter()
        remedy = "install bubblewrap (apt install bubblewrap), Docker or Podman to run more than WebAssembly"
        return Capabilities(backend="process", isolation=0, proved=(), failed=(Failure("everything else", remedy),))

    async def prepare(self, task: Task) -> None:
        """See `base.Sandbox.prepare`: a folder with what the task sees."""
        if not _KEY.fullmatch(task.key) or not task.report or task.image is not None or task.egress:
            raise SandboxError("sandbox.task_invalid", "only hosts of other programs run in the process sandbox")
        if task.key in self._prepared:
            raise SandboxError("sandbox.task_invalid", f"{task.key} is prepared already")
        self._make_filter()
        prepared = self._prepared[task.key] = _Prepared(self._home / task.key)
        try:
            await asyncio.to_thread(_build, prepared.root, task)
        except BaseException as error:
            await self.release(task.key)
            if isinstance(error, OSError):
                raise SandboxError("sandbox.prepare_failed", str(error)) from error
            raise

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """See `base.Sandbox.run`."""
        prepared = self._prepared.get(task.key)
        if prepared is None or prepared.ended or prepared.process is not None:
            raise SandboxError("sandbox.task_unknown", f"{task.key} is not prepared")
        log = output.OutputLog(task.limits.log_bytes, on_output, lambda: self.kill(task.key, Reason.LOG_LIMIT))
        lifeline_reader, lifeline = os.pipe()
        report_reader, report = os.pipe()
        try:
            started = time.monotonic()
            process = self._start(task, prepared.root, report, lifeline_reader)
        except OSError as error:
            os.close(report_reader)
            os.close(lifeline)
            return output.infrastructure(str(error), log)
        finally:
            os.close(lifeline_reader)
            os.close(report)
        prepared.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        ending = asyncio.create_task(asyncio.to_thread(os.wait4, process.pid, 0))
        watching = asyncio.create_task(self._watch(task, prepared))
        draining = [
            asyncio.create_task(log.drain(STDOUT, os.dup(process.stdout.fileno()))),
            asyncio.create_task(log.drain(STDERR, os.dup(process.stderr.fileno()))),
            asyncio.create_task(log.drain_report(report_reader)),
        ]
        process.stdout.close()
        process.stderr.close()
        try:
            if on_started is not None and inspect.isawaitable(waiting := on_started()):
                await waiting
            _, status, used = await asyncio.shield(ending)
            await asyncio.gather(*draining)
        except BaseException:
            await self.kill(task.key, Reason.CANCELLED)
            raise
        finally:
            await asyncio.wait([ending])
            prepared.ended = True
            process.returncode = os.waitstatus_to_exitcode(ending.result()[1])
            os.close(lifeline)
            for other in (watching, *draining):
                other.cancel()
            await asyncio.gather(watching, *draining, return_exceptions=True)
        usage = Usage(
            wall_ms=round((time.monotonic() - started) * 1000),
            cpu_ms=round((used.ru_utime + used.ru_stime) * 1000),
            memory_peak_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            log_bytes=log.bytes,
        )
        code = os.waitstatus_to_exitcode(status)
        reason = prepared.reason or Reason.EXITED
        return Outcome(
            reason=reason,
            exit_code=None if prepared.reason else code if code >= 0 else 128 - code,
            signal=None if prepared.reason or code >= 0 else -code,
            usage=usage,
            disk_full=False,
            detail="" if code == 0 else log.errors.decode(errors="replace").strip().rsplit("\n", 1)[-1],
            report=log.report,
        )

    async def listen(self, key: str) -> socket.socket:
        """See `base.Sandbox.listen`."""
        raise SandboxError("sandbox.no_network", "a process has no network of its own")

    async def kill(self, key: str, reason: Reason) -> None:
        """See `base.Sandbox.kill`."""
        prepared = self._prepared.get(key)
        if prepared is not None and prepared.process is not None and not prepared.ended:
            prepared.reason = prepared.reason or reason
            with contextlib.suppress(ProcessLookupError):
                os.killpg(prepared.process.pid, signal.SIGKILL)

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """See `base.Sandbox.outputs`."""
        prepared = self._prepared.get(key)
        if prepared is None or not prepared.ended or not (prepared.root / "out").is_dir():
            raise SandboxError("sandbox.task_unknown", f"{key} has no outputs")

        def work() -> Collected:
            root = os.open(prepared.root / "out", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return collect.collect(root, patterns, spool, limits)
            finally:
                os.close(root)

        return await asyncio.to_thread(work)

    async def release(self, key: str) -> None:
        """See `base.Sandbox.release`."""
        prepared = self._prepared.pop(key, None)
        if prepared is not None:
            await asyncio.to_thread(folders.remove, prepared.root)

    async def reap(self) -> None:
        """See `base.Sandbox.reap`. Processes ended with their agent; folders did not."""
        for name in os.listdir(self._home) if self._home.is_dir() else ():
            if name not in self._prepared and (self._home / name).is_dir():
                await asyncio.to_thread(folders.remove, self._home / name)

    async def close(self) -> None:
        """See `base.Sandbox.close`."""
        for key in list(self._prepared):
            await self.kill(key, Reason.CANCELLED)
            await self.release(key)

    # -------------------------------------------------------------------------------------------- inside

    def _make_filter(self) -> None:
        """The system call filter, in a file for children to read; none where libseccomp is missing."""
        if self._filter is not None and self._filter.exists():
            return
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(SandboxError):
            file = self._home / "seccomp.bpf"
            file.write_bytes(seccomp.program())
            self._filter = file

    def _start(self, task: Task, root: Path, report: int, lifeline: int) -> subprocess.Popen[bytes]:
        limits = task.limits
        script = next(index for index, word in enumerate(task.argv) if index and not word.startswith("-"))
        sources = [str(mount.source) for mount in task.mounts]
        prefixes = [sys.base_prefix, str(self._interpreter.host_executable.resolve().parent.parent)]
        settings: dict[str, Any] = {
            "lifeline": lifeline,
            "limits": {
                resource.RLIMIT_AS: (limits.address_bytes or limits.memory_bytes) + OWN_ADDRESSES,
                resource.RLIMIT_FSIZE: limits.disk_bytes,
                resource.RLIMIT_CORE: 0,
                resource.RLIMIT_NOFILE: OPEN_FILES,
                resource.RLIMIT_CPU: max(1, limits.wall_ms * max(1000, limits.cpu_milli) // 1_000_000 + 1),
            },
            "seccomp": str(self._filter) if self._filter is not None else None,
            "read": [*READABLE, *prefixes, *sources, str(root), str(self._filter or root)],
            "write": [str(root / "out")] if task.outputs else [],
        }
        program = [str(self._interpreter.host_executable), *task.argv[1:script], str(CONFINE), json.dumps(settings)]
        return subprocess.Popen(
            [*program, str(root) + task.argv[script], *task.argv[script + 1 :]],
            stdin=report,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(lifeline,),
            # One arena: for each thread glibc would otherwise reserve addresses, now more and now fewer.
            env={**task.environment, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1", ROOT_VARIABLE: str(root)},
            cwd=root,
            start_new_session=True,
        )

    async def _watch(self, task: Task, prepared: _Prepared) -> None:
        """Kill at the wall limit, and when /out holds more than it may."""
        until = time.monotonic() + task.limits.wall_ms / 1000
        out = prepared.root / "out"
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, WATCH_S) if task.outputs else left)
            if task.outputs and await asyncio.to_thread(
                folders.over_limit, out, task.limits.files, task.limits.disk_bytes
            ):
                await self.kill(task.key, Reason.DISK_LIMIT)
                return
        await self.kill(task.key, Reason.TIMEOUT)


def _build(root: Path, task: Task) -> None:
    """The task's tree: what is mounted elsewhere is linked here. Inputs are copied: what reads them follows no
    symbolic link out of its folder, and a hard link would share the node's own file with the task's user."""
    root.mkdir(mode=0o700, parents=True)
    if task.outputs:
        (root / "out").mkdir()
    for mount in task.mounts:
        place = root / mount.target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if mount.target.startswith("/in/"):
            shutil.copyfile(mount.source, place)
        else:
            place.symlink_to(mount.source)
