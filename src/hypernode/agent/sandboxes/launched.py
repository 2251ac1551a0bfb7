"""One job in the launcher's hands: its place, volume, cgroup and process, and how its end is read."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import Any

from hypernode.agent.sandboxes import child, folders, listening, namespaces, volumes
from hypernode.agent.sandboxes.cgroup_tree import Group
from hypernode.agent.sandboxes.host import Host

STATUS_BYTES = 64 << 10
NEAR_LIMIT = 0.9


class Job:
    """Prepared on construction: bubblewrap has built the sandbox, or is about to, and waits for `go`."""

    def __init__(
        self, host: Host, request: dict[str, Any], user: int, stdout: int, stderr: int, report: int = -1
    ) -> None:
        """Takes over no descriptor. Raises OSError, leaving nothing behind."""
        self.key: str = request["key"]
        self.user = user
        self.limits: dict[str, int] = request["limits"]
        self.reason = ""
        self.request_id = 0
        self.asked_to_listen: tuple[int, int] | None = None
        """The request that waits for a socket inside, and the port."""
        self.deadline: float | None = None
        self.exited = False
        self.ended_at = 0.0
        self._host = host
        self._pid = 0
        self._inner = 0
        self.pidfd = -1
        self.inner_pidfd = -1
        self.status_fd = -1
        self._go_fd = -1
        self._status = b""
        self._raw_exit = 0
        self._started_at = 0.0
        self._cpu_before_ms = 0
        self.group: Group | None = None
        self.place = f"{host.places}/{self.key}" if host.places else ""
        self.output = ""
        self._mounted: list[str] = []
        try:
            self._prepare(request, stdout, stderr, report)
        except BaseException:
            self.kill("infrastructure")
            if self._pid:
                os.waitpid(self._pid, 0)
            self.release()
            raise

    # -------------------------------------------------------------------------------------------- prepare

    def _prepare(self, request: dict[str, Any], stdout: int, stderr: int, report: int) -> None:
        if self.place:
            os.mkdir(self.place, 0o755)
            for index, source in enumerate(request["sources"]):
                self._bind(source, f"{self.place}/m{index}")
        if request["outputs"]:
            self._make_output()
        if self._host.groups is not None:
            limits = self.limits
            name = self._host.prefix + self.key
            self.group = self._host.groups.make(name, limits["memory_bytes"], limits["processes"], limits["cpu_milli"])
        self._spawn(request, stdout, stderr, report)

    def _bind(self, source: str, target: str) -> None:
        """Show a source at a place every job's user can reach: its own path may lead through private folders."""
        if os.path.isdir(source):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        namespaces.mount(source, target, flags=namespaces.MS_BIND)
        self._mounted.append(target)

    def _make_output(self) -> None:
        folder = f"{self._host.home}/volumes"
        size, files = self.limits["disk_bytes"], self.limits["files"]
        if self._host.volumes:
            self.output = f"{self.place}/out"
            os.mkdir(self.output)
            volumes.make(folder, self.key, self.output, size, files, self.user)
            return
        self.output = f"{folder}/folder-{self.key}"
        os.mkdir(self.output, 0o755)
        if self._host.root:
            os.chown(self.output, self.user, self.user)
            self._bind(self.output, f"{self.place}/out")

    def _spawn(self, request: dict[str, Any], stdout: int, stderr: int, report: int) -> None:
        status_reader, status_writer = os.pipe()
        self.status_fd = status_reader
        block_reader, self._go_fd = os.pipe()
        seccomp = _memory_file("seccomp", self._host.seccomp)
        options: list[str] = request["options"]
        pipes = ["--json-status-fd", str(status_writer), "--block-fd", str(block_reader), "--seccomp", str(seccomp)]
        # Options travel in a file: on the command line they would show the job's environment to the whole host.
        arguments = _memory_file("options", b"".join(os.fsencode(o) + b"\0" for o in (*options, *pipes)))
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        standard = (report if report >= 0 else null, stdout, stderr)
        unlimited = self.group is None
        identity = child.Identity(
            user=self.user if self._host.root else None,
            group=self.group,
            file_bytes=max(self.limits["disk_bytes"], self.limits["tmp_bytes"]),
            memory_bytes=(self.limits["address_bytes"] or self.limits["memory_bytes"]) if unlimited else None,
            processes=self.limits["processes"] if unlimited else None,
        )
        argv = ["bwrap", "--args", str(arguments), "--", *request["argv"]]
        keep = (status_writer, block_reader, seccomp, arguments)
        try:
            self._pid = child.spawn(self._host.bubblewrap, argv, identity, standard, keep)
            self.pidfd = os.pidfd_open(self._pid)
        finally:
            for descriptor in (null, *keep):
                os.close(descriptor)
        os.set_blocking(status_reader, False)

    def listen(self, port: int) -> int | None:
        """A descriptor of a socket that listens inside; None until bubblewrap says where that is. Raises OSError."""
        if self._inner == 0 and not self.exited:
            return None
        if self.exited or self._go_fd < 0:
            raise OSError("its program has started" if not self.exited else "it has ended")
        return listening.listen_inside(self._inner, self.inner_pidfd, port)

    # -------------------------------------------------------------------------------------------- run

    def go(self, request_id: int) -> None:
        """Let the program start. What the sandbox's own start cost is not the job's."""
        self.request_id = request_id
        if self.group is not None:
            self._cpu_before_ms = self.group.use().cpu_ms
        self._started_at = time.monotonic()
        self.deadline = self._started_at + self.limits["wall_ms"] / 1000
        with contextlib.suppress(BrokenPipeError):  # it failed while being built; its exit is about to be read
            os.write(self._go_fd, b"1")
        self._close("_go_fd")

    def kill(self, reason: str) -> None:
        """SIGKILL everything, once; the first reason stays. The inner process is the namespace's init: with it the
        kernel kills all others, so nothing can outrun this by forking."""
        if not self.exited:
            self.reason = self.reason or reason
        for descriptor in (self.pidfd, self.inner_pidfd):
            if descriptor >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if self.group is not None:
            self.group.kill()

    def drain_status(self) -> bool:
        """Take in what bubblewrap has said about itself so far. False at the end of it."""
        data = b"."
        while data:
            try:
                data = os.read(self.status_fd, 4096)
            except BlockingIOError:
                break
            self._status = (self._status + data)[-STATUS_BYTES:]
        if self._inner == 0 and (inner := self._said("child-pid")) is not None:
            self._inner = inner
            with contextlib.suppress(ProcessLookupError):
                self.inner_pidfd = os.pidfd_open(inner)
        return bool(data)

    def reap(self) -> None:
        """Read the exit of the outer process, which has ended. Idempotent."""
        if self.exited:
            return
        _, self._raw_exit = os.waitpid(self._pid, 0)
        self.ended_at = time.monotonic()
        self.exited = True
        self.drain_status()

    def gone(self) -> bool:
        """Kill what is left of an exited job; True once nothing is."""
        if self.inner_pidfd >= 0:
            if not select.select([self.inner_pidfd], [], [], 0)[0]:
                signal.pidfd_send_signal(self.inner_pidfd, signal.SIGKILL)
                return False
            self._close("inner_pidfd")
        if self._inner > 0:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._inner, os.WNOHANG)  # an orphan now, and the launcher adopts orphans
            self._inner = -1  # its number may be another's from here on
        return self.group is None or self.group.kill()

    def result(self) -> dict[str, Any]:
        """How it ended, once it is gone. `exit_code` is null if the program never started or was killed by us."""
        use = self.group.use() if self.group is not None else None
        code = self._said("exit-code")
        reason = self.reason
        if not reason:
            # The whole host may run out of memory as well: a kill far below the job's own limit isn't the job's fault.
            at_limit = use is not None and use.memory_peak_bytes >= self.limits["memory_bytes"] * NEAR_LIMIT
            if use is not None and use.memory_kills and at_limit and code != 0:
                reason = "out_of_memory"
            else:
                reason = "exited" if code is not None else "infrastructure"
        full = False
        if self.output and self._host.volumes:
            root = self.open_output()
            full = volumes.is_full(root)
            os.close(root)
        started = self._started_at or self.ended_at
        return {
            "reason": reason,
            "exit_code": code if reason in ("exited", "out_of_memory") else None,
            "raw_exit": os.waitstatus_to_exitcode(self._raw_exit),
            "wall_ms": round((self.ended_at - started) * 1000),
            "cpu_ms": max(0, use.cpu_ms - self._cpu_before_ms) if use else 0,
            "memory_peak_bytes": use.memory_peak_bytes if use else 0,
            "disk_full": full,
        }

    def open_output(self) -> int:
        """A descriptor of the root of /out, valid in any mount namespace. Raises FileNotFoundError without one."""
        if not self.output:
            raise FileNotFoundError("the task has no outputs")
        return os.open(self.output, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def folder_over_limit(self) -> bool:
        """Whether a watched output folder (no volume) holds more than it may. Bounded by the limit on files."""
        if not self.output or self._host.volumes:
            return False
        return folders.over_limit(self.output, self.limits["files"], self.limits["disk_bytes"])

    # -------------------------------------------------------------------------------------------- release

    def release(self) -> None:
        """Undo everything but the cgroup if that is still busy; `group` says so. The processes must be gone."""
        for name in ("_go_fd", "status_fd", "pidfd", "inner_pidfd"):
            self._close(name)
        if self.output and self._host.volumes and os.path.isdir(self.output):
            volumes.destroy(self.output)
        for target in reversed(self._mounted):
            namespaces.unmount(target)
        self._mounted.clear()
        if self.output and not self._host.volumes:
            folders.remove(self.output)
        if self.place:
            # Only our own empty mount points are left on this tmpfs. Never descend: a failed unmount would have
            # this delete what is mounted.
            for name in os.listdir(self.place) if os.path.isdir(self.place) else ():
                point = f"{self.place}/{name}"
                os.rmdir(point) if os.path.isdir(point) else os.unlink(point)
            if os.path.isdir(self.place):
                os.rmdir(self.place)
        self.output = self.place = ""
        self.remove_group()

    def remove_group(self) -> bool:
        """True if no cgroup of the job is left."""
        if self.group is not None and self.group.kill() and self.group.remove():
            self.group = None
        return self.group is None

    # -------------------------------------------------------------------------------------------- small things

    def _said(self, name: str) -> int | None:
        """A number from bubblewrap's status documents, one a line."""
        for line in self._status.splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if name in document:
                return int(document[name])
        return None

    def _close(self, name: str) -> None:
        descriptor = getattr(self, name)
        if descriptor >= 0:
            os.close(descriptor)
            setattr(self, name, -1)


def _memory_file(name: str, content: bytes) -> int:
    """A descriptor, close-on-exec, of an anonymous file holding `content`, to be read from its start."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
