"""The sandboxes under attack, and in what they truly differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engines import RunningEngine
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.engine.find import Engine
from hypernode.agent.sandboxes.engine.sandbox import EngineSandbox

AnySandbox = BubblewrapSandbox | EngineSandbox


@dataclass(frozen=True)
class Differences:
    """What a program finds in this sandbox and not in every other. All else is the same everywhere."""

    user_inside: int | None
    """The user that the program finds itself to be; None: the host's number, as no user namespace translates it."""
    processes: str
    """What there is in /proc: an init of the sandbox's own beside the program, or the program alone."""
    own_kernel: bool = False
    """gVisor. Its /proc and /sys are its own; the host's filter and "no new privileges" do not show in them, but apply
    to the whole of it. It keeps a host thread for each of the task's and gives up when the host refuses one, or the
    memory for it: a fork bomb is the end of the task."""
    emulated: frozenset[str] = frozenset()
    """Calls that work, answered by a kernel which is not the host's: they reach what it made up for this task."""
    readable: frozenset[str] = frozenset()
    """Of the paths that a task should not find, those that have something in them, with what; nothing of the host's."""
    refused_in_out: frozenset[str] = frozenset({"hard link to the host", "fifo", "device"})
    """What cannot even be made in /out. What can be made, the collector refuses."""


CONTAINER = Differences(user_inside=None, processes="[1]")
DIFFERENCES = {
    "bubblewrap": Differences(user_inside=1000, processes="[1, 2]"),
    "docker-runc": CONTAINER,
    "podman-runc": replace(CONTAINER, readable=frozenset({"/run .containerenv"})),
    "docker-runsc": replace(
        CONTAINER,
        own_kernel=True,
        emulated=frozenset({"unshare_user", "unshare_net", "io_uring_setup", "chroot", "syslog", "netlink"}),
        readable=frozenset({"/sys block bus class dev devices firmware fs kernel module power"}),
        # Made within its kernel only; the host's file system never sees them.
        refused_in_out=frozenset({"hard link to the host", "device"}),
    ),
}
BACKENDS = tuple(DIFFERENCES)
ENGINES = tuple(name for name in BACKENDS if name != "bubblewrap")


class Backend:
    """One of them, and how to make a sandbox of it."""

    def __init__(self, name: str, running: RunningEngine | None) -> None:
        self.name = name
        self.running = running
        self.differs = DIFFERENCES[name]

    @property
    def engine(self) -> Engine | None:
        """Its engine, if it has one."""
        return self.running.engine(self.name.split("-")[1]) if self.running is not None else None

    def make(self, home: Path, interpreter: Interpreter) -> AnySandbox:
        """A sandbox for a home that no other has."""
        return make(self.engine, home, interpreter)


def make(engine: Engine | None, home: Path, interpreter: Interpreter) -> AnySandbox:
    """bubblewrap without an engine."""
    if engine is None:
        return BubblewrapSandbox(home, interpreter)
    return EngineSandbox(home, interpreter, engine)


def helper_pid(sandbox: AnySandbox) -> int:
    """The process that ends the sandbox's tasks when the agent goes."""
    pid = sandbox.launcher_pid if isinstance(sandbox, BubblewrapSandbox) else sandbox.keeper_pid
    assert pid is not None, "nothing has been prepared yet"
    return pid
