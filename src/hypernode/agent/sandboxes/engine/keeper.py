"""The keeper: the one process of a node that outlives its agent by a moment, to take its containers away.

    python -m hypernode.agent.sandboxes.engine.keeper DESCRIPTOR

Containers are the engine's children and do not die with the agent. This process holds what the agent needs root's
hands for (volumes in a mount namespace that vanishes with it, cgroups, a look at each task's first process), and when
the agent's socket ends it kills every task, and has the engine remove what carries this home's label. It imports
little and believes the agent.
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
from collections.abc import Callable
from typing import Any, Final

from hypernode.agent.sandboxes import cgroups, wire
from hypernode.agent.sandboxes import host as hosts
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Groups
from hypernode.agent.sandboxes.engine import groups as engine_groups
from hypernode.agent.sandboxes.engine import sweep
from hypernode.agent.sandboxes.engine.kept import Kept

SWEEP_S: Final = 0.003
"""How often an ending task is looked at until nothing of it is left."""
SAMPLE_S: Final = 0.05
LEAVE_S: Final = 2.0
"""How long the release of a task waits for the last processes to leave its cgroup."""
CLOSE_S: Final = 10.0


class Keeper:
    """One agent's containers. Single-threaded: every method runs to its end before the next event is looked at."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._tasks: dict[str, Kept] = {}
        self._groups_left: list[Kept] = []
        self._groups: Groups | None = None
        self._home = ""
        self._prefix = ""
        self._engine = ""
        self._places = ""
        self._first_user = 0
        self._users = 0
        self._lock = -1
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

    # ------------------------------------------------------------------------------------------------ events

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
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            getattr(self, f"_do_{request['do']}")(request)
        except (OSError, CgroupsUnavailable) as error:
            self._answer(request["id"], {"error": str(error), "what": request["do"]})

    def _tick(self) -> None:
        for task in self._tasks.values():
            if task.request_id and task.look():
                self._unwatch(task.pidfd)
                self._answer(task.request_id, task.result())
                task.request_id = 0
            elif task.killing and not task.ended:
                task.kill()
        self._groups_left = [task for task in self._groups_left if not self._left(task)]

    def _timeout(self) -> float | None:
        ending = any((t.killing and not t.ended) or (t.request_id and t.pidfd < 0) for t in self._tasks.values())
        if ending or self._groups_left:
            return SWEEP_S
        return SAMPLE_S if any(t.request_id and t.sampled for t in self._tasks.values()) else None

    # ------------------------------------------------------------------------------------------------ requests

    def _do_hello(self, request: dict[str, Any]) -> None:
        home = request["home"]
        self._lock = os.open(f"{home}/keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._answer(request["id"], {"error": "locked", "what": "lock"})
            return
        missing: dict[str, str] = {}
        if os.geteuid() == 0:
            self._places = hosts.private_place([home, request["engine"]], missing)
        else:
            missing["mounts"] = "run the node as root: outputs need a volume, and only root may make one"
        if self._places:
            hosts.volumes_work(home, self._places, missing)
        if request["groups"]:
            with contextlib.suppress(CgroupsUnavailable, OSError):  # the engine's own limits may do
                self._groups = cgroups.open_groups(at_root=True)
        self._home, self._prefix, self._engine = home, request["prefix"], request["engine"]
        self._first_user, self._users = request["first_user"], request["users"]
        self._answer(request["id"], {"missing": missing})

    def _do_reap(self, request: dict[str, Any]) -> None:
        """What an agent and a keeper of this home left when both were killed, or an engine that was away. Volumes of
        a killed keeper went with its namespace."""
        removed = sweep.containers_and_volumes(self._engine, self._prefix, keep=self._tasks)
        for name in os.listdir(f"{self._home}/volumes"):
            if not (name.startswith("template-") and name.endswith(".ext4")):
                os.unlink(f"{self._home}/volumes/{name}")
                removed += 1
        live = {self._prefix + key for key in self._tasks}
        until = time.monotonic() + CLOSE_S
        while not engine_groups.remove(lambda group: group.startswith(self._prefix) and group not in live):
            if time.monotonic() > until:
                break
            time.sleep(SWEEP_S)
        self._answer(request["id"], {"removed": removed})

    def _do_prepare(self, request: dict[str, Any]) -> None:
        key = request["key"]
        if key in self._tasks:
            raise OSError("the key is in use")
        used = {task.user for task in self._tasks.values()}
        user = next((u for u in range(self._first_user, self._first_user + self._users) if u not in used), None)
        if user is None:
            raise OSError(f"at most {self._users} tasks at a time")
        place, folder = f"{self._places}/{key}", f"{self._home}/volumes"
        task = Kept(request, user, place, folder, self._prefix + key, self._groups)
        self._tasks[key] = task
        self._answer(request["id"], {"user": user, "devices": task.devices, "parent": task.parent})

    def _do_claim(self, request: dict[str, Any]) -> None:
        self._task(request).claim(request["container"])
        self._answer(request["id"], {})

    def _do_network(self, request: dict[str, Any]) -> None:
        self._task(request).networked(request["process"])
        self._answer(request["id"], {})

    def _do_listen(self, request: dict[str, Any]) -> None:
        listening = self._task(request).listen(request["port"])
        try:
            wire.send(self._control, {"id": request["id"]}, [listening])
        finally:
            os.close(listening)

    def _do_watch(self, request: dict[str, Any]) -> None:
        """Answered once the task has ended and nothing of it is left."""
        task = self._task(request)
        task.request_id = request["id"]
        task.started(request["process"], from_now=request["from_now"])
        if task.pidfd >= 0:
            self._watch(task.pidfd, lambda: None)

    def _do_kill(self, request: dict[str, Any]) -> None:
        task = self._tasks.get(request["key"])
        if task is not None:
            task.kill()
        self._answer(request["id"], {})

    def _do_outputs(self, request: dict[str, Any]) -> None:
        task = self._task(request)
        if not task.ended:
            raise OSError("the task has not ended")
        root = task.open_output()
        try:
            wire.send(self._control, {"id": request["id"]}, [root])
        finally:
            os.close(root)

    def _do_release(self, request: dict[str, Any]) -> None:
        """Answered once the task's cgroup has gone too, so that another task can have its key. What Podman starts at a
        container's end takes a moment to leave it; where it never does, the answer comes all the same."""
        task = self._tasks.pop(request["key"], None)
        if task is None:
            self._answer(request["id"], {})
            return
        task.release_id, task.leaving_until = request["id"], time.monotonic() + LEAVE_S
        self._release(task)

    # ------------------------------------------------------------------------------------------------ small things

    def _task(self, request: dict[str, Any]) -> Kept:
        task = self._tasks.get(request["key"])
        if task is None:
            raise FileNotFoundError("no such task")
        return task

    def _release(self, task: Kept) -> None:
        self._unwatch(task.pidfd)
        task.release()
        if not self._left(task):
            self._groups_left.append(task)

    def _left(self, task: Kept) -> bool:
        """Whether nothing of a released task is there any more; whoever released it hears of that."""
        gone = task.remove_group()
        if task.release_id and (gone or time.monotonic() > task.leaving_until):
            self._answer(task.release_id, {})
            task.release_id = 0
        return gone

    def _answer(self, number: int, message: dict[str, Any]) -> None:
        try:
            wire.send(self._control, {"id": number, **message})
        except OSError:
            self._stopping = True  # the agent has gone

    def _watch(self, what: Any, handler: Callable[[], object]) -> None:
        self._selector.register(what, selectors.EVENT_READ, handler)

    def _unwatch(self, what: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(what)

    def _close(self) -> None:
        """Kill first, all at once, and only then tidy up: running on after the agent has gone is the worse thing."""
        for task in self._tasks.values():
            task.kill()
        if self._engine:
            try:
                sweep.containers_and_volumes(self._engine, self._prefix, twice=bool(self._tasks))
            except OSError as error:  # whoever starts this home again reaps
                print(f"sandbox keeper: the engine is gone: {error}", file=sys.stderr)
        for task in self._tasks.values():
            try:
                self._release(task)
            except OSError as error:
                print(f"sandbox keeper: {task.key}: {error}", file=sys.stderr)
        until = time.monotonic() + CLOSE_S
        while self._groups_left and time.monotonic() < until:
            self._groups_left = [task for task in self._groups_left if not task.remove_group()]
            time.sleep(SWEEP_S)


def main() -> None:
    """Entry point. The argument is the number of the inherited socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    Keeper(control).serve()


if __name__ == "__main__":
    main()
