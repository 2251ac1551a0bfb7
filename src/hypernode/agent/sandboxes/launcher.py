"""The launcher: the one process of a node that starts jobs, and with which they all die.

    python -m hypernode.agent.sandboxes.launcher DESCRIPTOR

Why a process of its own: forking the agent itself (threads, an event loop, hundreds of megabytes) is slow and unsafe;
the parent-death signal is bound to the *thread* that forked, and here there is only one; and mounts made in this
process's private namespace vanish with it, however it ends. It imports little, blocks on nothing but its events, and
believes the agent, which speaks through the inherited socket. When that socket ends, so do all jobs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from hypernode.agent.sandboxes import folders, namespaces, wire
from hypernode.agent.sandboxes import host as hosts
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable
from hypernode.agent.sandboxes.host import Host
from hypernode.agent.sandboxes.launched import Job

SWEEP_S = 0.002
"""How often an ended job is looked at until nothing of it is left."""
WATCH_S = 0.5
CLOSE_S = 10.0
USERS_PER_HOME = 256


class Launcher:
    """One agent's jobs. Single-threaded: every method runs to its end before the next event is looked at."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._jobs: dict[str, Job] = {}
        self._ending: list[Job] = []
        self._groups_left: list[Job] = []
        self._host: Host | None = None
        self._first_user = 0
        self._lock = -1
        self._watched_at = 0.0
        self._stopping = False

    def serve(self) -> None:
        """Work until the agent goes away or asks to stop; then leave nothing behind."""
        self._watch(self._control, self._on_request)
        signals, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._watch(signals, lambda: os.read(signals, 100))
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._timeout()):
                    if self._selector.get_map().get(key.fileobj) == key:  # else one before it ended what it is about
                        key.data()
                self._tick()
        finally:
            self._close()

    # -------------------------------------------------------------------------------------------- events

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True

    def _on_request(self) -> None:
        try:
            received = wire.receive(self._control)
        except ConnectionError:
            received = None
        if received is None:
            self._stopping = True
            return
        request, descriptors = received
        handler = getattr(self, f"_do_{request['do']}")
        try:
            handler(request, descriptors)
        except (OSError, CgroupsUnavailable) as error:
            self._answer(request["id"], {"error": str(error), "what": request["do"]})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _on_exit(self, job: Job) -> None:
        self._unwatch(job.pidfd)
        self._unwatch(job.status_fd)
        job.reap()
        job.deadline = None
        self._ending.append(job)
        self._listen(job)

    def _on_status(self, job: Job) -> None:
        if not job.drain_status():
            self._unwatch(job.status_fd)
        self._listen(job)

    def _tick(self) -> None:
        now = time.monotonic()
        for job in self._jobs.values():
            if job.deadline is not None and now >= job.deadline:
                job.deadline = None
                job.kill("timeout")
        if now - self._watched_at >= WATCH_S:
            self._watched_at = now
            for job in self._jobs.values():
                if not job.exited and job.folder_over_limit():
                    job.kill("disk_limit")
        for job in list(self._ending):
            if job.gone():
                self._ending.remove(job)
                self._finish(job)
        self._groups_left = [job for job in self._groups_left if not job.remove_group()]

    def _timeout(self) -> float | None:
        if self._ending or self._groups_left:
            return SWEEP_S
        deadlines = [job.deadline for job in self._jobs.values() if job.deadline is not None]
        watched = any(job.output for job in self._jobs.values()) and not (self._host and self._host.volumes)
        if watched:
            deadlines.append(self._watched_at + WATCH_S)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _finish(self, job: Job) -> None:
        """Nothing of the job runs any more: say so, if somebody already asked for it to run."""
        if job.request_id:
            self._answer(job.request_id, job.result())
            job.request_id = 0

    def _listen(self, job: Job) -> None:
        """Hand a socket inside to who waits for it, as soon as there is an inside."""
        if job.asked_to_listen is None:
            return
        number, port = job.asked_to_listen
        try:
            descriptor = job.listen(port)
        except OSError as error:
            self._answer(number, {"error": str(error), "what": "listen"})
        else:
            if descriptor is None:
                return
            self._answer(number, {}, [descriptor])
            os.close(descriptor)
        job.asked_to_listen = None

    # -------------------------------------------------------------------------------------------- requests

    def _do_hello(self, request: dict[str, Any], descriptors: list[int]) -> None:
        home = request["home"]
        self._lock = os.open(f"{home}/launcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._answer(request["id"], {"error": "locked", "what": "lock"})
            return
        self._first_user = request["first_user"]
        found, missing = hosts.examine(
            home, request["prefix"], request["bubblewrap"], os.pread(descriptors[0], 1 << 20, 0)
        )
        self._host = found
        namespaces.adopt_orphans()
        self._answer(
            request["id"],
            {
                "places": found.places,
                "volumes": found.volumes,
                "root": found.root,
                "cgroups": found.groups.version if found.groups else "",
                "missing": missing,
            },
        )

    def _do_reap(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """What a launcher of this home left when it was killed together with its agent. Its mounts and loop devices
        went with its namespace; cgroups, watched folders and half-made images did not."""
        host = self._ready()
        removed = 0
        live = {host.prefix + key for key in self._jobs}
        if host.groups is not None:
            waiting = host.groups.left_over(host.prefix) if not live else []
            removed = len(waiting)
            until = time.monotonic() + CLOSE_S
            while waiting and time.monotonic() < until:
                waiting = [group for group in waiting if not (group.kill() and group.remove())]
                time.sleep(SWEEP_S)
        if not live:
            for name in os.listdir(f"{host.home}/volumes"):
                path = f"{host.home}/volumes/{name}"
                if name.startswith("folder-"):
                    folders.remove(path)
                    removed += 1
                elif not (name.startswith("template-") and name.endswith(".ext4")):
                    os.unlink(path)
                    removed += 1
        self._answer(request["id"], {"removed": removed})

    def _do_prepare(self, request: dict[str, Any], descriptors: list[int]) -> None:
        host = self._ready()
        used = {job.user for job in self._jobs.values()}
        user = next((u for u in range(self._first_user, self._first_user + USERS_PER_HOME) if u not in used), None)
        if user is None:
            raise OSError(f"at most {USERS_PER_HOME} tasks at a time")
        if request["key"] in self._jobs:
            raise OSError("the key is in use")
        job = Job(host, request, user, *descriptors)
        self._jobs[job.key] = job
        self._watch(job.pidfd, lambda: self._on_exit(job))
        self._watch(job.status_fd, lambda: self._on_status(job))
        self._answer(request["id"], {})

    def _do_run(self, request: dict[str, Any], descriptors: list[int]) -> None:
        job = self._jobs.get(request["key"])
        if job is None:
            raise FileNotFoundError("no such task")
        job.go(request["id"])
        if job.exited:
            job.deadline = None
            if job not in self._ending:
                self._finish(job)

    def _do_listen(self, request: dict[str, Any], descriptors: list[int]) -> None:
        job = self._jobs.get(request["key"])
        if job is None:
            raise FileNotFoundError("no such task")
        if job.asked_to_listen is not None:
            raise OSError("somebody waits for it already")
        job.asked_to_listen = request["id"], request["port"]
        self._listen(job)

    def _do_kill(self, request: dict[str, Any], descriptors: list[int]) -> None:
        job = self._jobs.get(request["key"])
        if job is not None:
            job.kill(request["reason"])
        self._answer(request["id"], {})

    def _do_outputs(self, request: dict[str, Any], descriptors: list[int]) -> None:
        job = self._jobs.get(request["key"])
        if job is None:
            raise FileNotFoundError("no such task")
        if not job.exited or job in self._ending:
            raise OSError("the task has not ended")
        root = job.open_output()
        self._answer(request["id"], {}, [root])
        os.close(root)

    def _do_release(self, request: dict[str, Any], descriptors: list[int]) -> None:
        job = self._jobs.get(request["key"])
        if job is not None:
            self._end(job)
            job.release()
            del self._jobs[job.key]
            if job.group is not None:
                self._groups_left.append(job)
        self._answer(request["id"], {})

    # -------------------------------------------------------------------------------------------- small things

    def _ready(self) -> Host:
        if self._host is None:
            raise OSError("hello comes first")
        return self._host

    def _end(self, job: Job) -> None:
        """Kill a job and wait for it here. It takes milliseconds: SIGKILL to the init of its namespace."""
        until = time.monotonic() + CLOSE_S
        if not job.exited:
            job.kill("cancelled")
            self._on_exit(job)
        while job in self._ending and time.monotonic() < until:
            if job.gone():
                self._ending.remove(job)
                self._finish(job)
            else:
                time.sleep(SWEEP_S)

    def _answer(self, number: int, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            wire.send(self._control, {"id": number, **message}, descriptors)
        except OSError:
            self._stopping = True  # the agent has gone

    def _watch(self, what: Any, handler: Callable[[], object]) -> None:
        self._selector.register(what, selectors.EVENT_READ, handler)

    def _unwatch(self, what: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(what)

    def _close(self) -> None:
        """Kill first, all at once, and only then tidy up: running on after the agent has gone is the worse thing."""
        for job in self._jobs.values():
            job.kill("cancelled")
        for job in list(self._jobs.values()):
            self._end(job)
            try:
                job.release()
            except OSError as error:
                print(f"sandbox launcher: {job.key}: {error}", file=sys.stderr)
            if job.group is not None:
                self._groups_left.append(job)
        until = time.monotonic() + CLOSE_S
        while self._groups_left and time.monotonic() < until:
            self._groups_left = [job for job in self._groups_left if not job.remove_group()]
            time.sleep(SWEEP_S)


def main() -> None:
    """Entry point. The argument is the number of the inherited socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    Launcher(control).serve()


if __name__ == "__main__":
    main()
