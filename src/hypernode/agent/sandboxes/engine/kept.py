"""One task in the keeper's hands: its volumes, its cgroup, and its end."""

from __future__ import annotations

import base64
import contextlib
import os
import select
import signal
import stat
import time
from typing import Any, Final

from hypernode.agent.sandboxes import cgroup_tree, listening, volumes
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Groups
from hypernode.agent.sandboxes.engine import sweep
from hypernode.agent.sandboxes.engine.groups import Around, Inside

REPORT_BYTES: Final = 16 << 10
"""As `base.REPORT_BYTES`, which would be much to import here."""


class Kept:
    """Made ready on construction. Raises OSError, leaving nothing behind."""

    def __init__(self, request: dict[str, Any], user: int, place: str, folder: str, name: str, groups: Groups | None):
        """`place` is a new folder for mount points, `folder` that of volumes' images."""
        self.key: str = request["key"]
        self.user = user
        self.request_id = 0
        """Of who waits for its end; 0: nobody."""
        self.release_id = 0
        """Of who waits until nothing of it is left, which is until `leaving_until` at most."""
        self.leaving_until = 0.0
        self.pidfd = -1
        self.killing = False
        self.ended = False
        self._place = place
        self._folder = folder
        self._container: str = ""
        self._network = (0, -1)
        self._mounted: dict[str, str] = {}
        self._group: Around | Inside | None = None
        self._cpu_before_ms = 0
        self._ended_at = 0.0
        try:
            os.mkdir(place, 0o700)
            self._volume("out", request["out"])
            self._volume("report", request["report"])
            if groups is not None:
                limits = request["limits"]
                self._group = Around(groups, name, limits["memory_bytes"], limits["processes"], limits["cpu_milli"])
        except BaseException:
            self.release()
            raise

    @property
    def devices(self) -> dict[str, str]:
        """Volume → the device that the engine is to show."""
        return self._mounted

    @property
    def parent(self) -> str:
        """The cgroup for the engine to make the container's in; "" if we have none."""
        return self._group.path if self._group is not None else ""

    @property
    def sampled(self) -> bool:
        """Whether what it uses must be read while it runs: with the engine's group it goes."""
        return isinstance(self._group, Inside)

    def claim(self, container: str) -> None:
        """The container is made, and not started: from here on what it uses counts. Engines may have changed to whom
        the volumes belong. Raises OSError."""
        self._container = container
        for volume in self._mounted:
            volumes.hand_over(f"{self._place}/{volume}", self.user)
        if self._group is not None:
            self._cpu_before_ms = self._group.use().cpu_ms

    def networked(self, process: int) -> None:
        """The network of this process, which is in our group, is the task's. Raises OSError if it has ended."""
        pidfd = self._open(process)
        if pidfd < 0:
            raise ProcessLookupError("the process that has the network has ended")
        self._network = (process, pidfd)

    def listen(self, port: int) -> int:
        """A descriptor of a socket that listens in the task's network. Raises OSError."""
        process, pidfd = self._network
        if pidfd < 0:
            raise OSError("the task has no network")
        return listening.listen_inside(process, pidfd, port)

    def started(self, process: int, *, from_now: bool) -> None:
        """The program runs in `process`, or did until a moment ago (then 0 will do). What was used before counts
        unless `from_now`."""
        if process <= 0:
            return
        with contextlib.suppress(OSError, CgroupsUnavailable):
            pidfd = self._open(process)
            if pidfd < 0:
                return
            self.pidfd = pidfd
            if self._group is None:
                self._group = Inside(process, self._container)
            if from_now:
                self._cpu_before_ms = self._group.use().cpu_ms

    def kill(self) -> None:
        """SIGKILL everything; `look` goes on with it until nothing is left."""
        self.killing = True
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self._group is not None:
            self._group.kill()

    def look(self) -> bool:
        """Whether the task has ended and nothing of it is left; what is left of an ended one is killed."""
        if self.pidfd >= 0 and not self._gone():
            if self.killing:
                self.kill()
            elif self.sampled and self._group is not None:
                self._group.use()
            return False
        if not self._ended_at:
            self._ended_at = time.monotonic()
        if self._group is not None:
            self._group.use()
            if not self._group.kill():
                return False
        self.ended = True
        return True

    def result(self) -> dict[str, Any]:
        """How it ended, as far as it can be seen from here. `ended_at` is 0 if nobody saw the first process end."""
        use = self._group.use() if self._group is not None else None
        return {
            "ended_at": self._ended_at if self.pidfd >= 0 else 0.0,
            "measured": use is not None,
            "cpu_ms": max(0, use.cpu_ms - self._cpu_before_ms) if use else 0,
            "memory_peak_bytes": use.memory_peak_bytes if use else 0,
            "memory_kills": use.memory_kills if use else 0,
            "disk_full": self._is_full(),
            "report": base64.b64encode(self._report()).decode(),
        }

    def open_output(self) -> int:
        """A descriptor of the root of /out, valid in any mount namespace. Raises FileNotFoundError without one."""
        if "out" not in self._mounted:
            raise FileNotFoundError("the task has no outputs")
        return os.open(f"{self._place}/out", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def release(self) -> None:
        """Undo everything but the cgroup if that is still busy. The engine must have removed the container, or be
        gone."""
        if self._container:
            sweep.monitors([self._container])
        for descriptor in (self.pidfd, self._network[1]):
            if descriptor >= 0:
                os.close(descriptor)
        self.pidfd, self._network = -1, (0, -1)
        for volume in list(self._mounted):
            volumes.destroy(f"{self._place}/{volume}")
            os.rmdir(f"{self._place}/{volume}")
            del self._mounted[volume]
        if os.path.isdir(self._place):
            os.rmdir(self._place)
        self.remove_group()

    def remove_group(self) -> bool:
        """True if no cgroup of the task is left."""
        if self._group is not None and self._group.remove():
            self._group = None
        return self._group is None

    # ------------------------------------------------------------------------------------------------ inside

    def _volume(self, volume: str, size: list[int] | None) -> None:
        if size is None:
            return
        place = f"{self._place}/{volume}"
        os.mkdir(place)
        try:
            device = volumes.make(self._folder, f"{self.key}-{volume}", place, size[0], size[1], self.user)
        except BaseException:
            volumes.destroy(place)
            os.rmdir(place)
            raise
        self._mounted[volume] = device

    def _open(self, process: int) -> int:
        """A pidfd of a process of the task; -1 if the number is another's by now. Raises OSError if it has ended."""
        pidfd = os.pidfd_open(process)
        try:
            groups = cgroup_tree.groups_of(process).values()  # fails where the process is reaped meanwhile
        except OSError:
            os.close(pidfd)
            raise
        if any(self._is_ours(group) for group in groups):
            return pidfd
        os.close(pidfd)
        return -1

    def _is_ours(self, group: str) -> bool:
        if self._container and self._container in group:
            return True
        return bool(self.parent) and f"{group}/".startswith(f"{self.parent}/")

    def _gone(self) -> bool:
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def _is_full(self) -> bool:
        if "out" not in self._mounted:
            return False
        root = self.open_output()
        try:
            return volumes.is_full(root)
        finally:
            os.close(root)

    def _report(self) -> bytes:
        """What the program wrote for its host: the beginning of a plain file, if it is one."""
        if "report" not in self._mounted:
            return b""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            file = os.open(f"{self._place}/report/report", flags)
        except OSError:
            return b""
        try:
            return os.read(file, REPORT_BYTES) if stat.S_ISREG(os.fstat(file).st_mode) else b""
        finally:
            os.close(file)
