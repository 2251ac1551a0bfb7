"""A sandbox to attack, and a look from outside at what an attack left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from engines import RunningEngine, running
from hostile.backends import BACKENDS, AnySandbox, Backend, Differences
from hypernode.agent import interpreter as interpreters
from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import owned
from hypernode.agent.sandboxes.base import Limits, Mount, Outcome, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.engine.sandbox import EngineSandbox

MIB = 1 << 20
JOBS = Path(__file__).parent / "jobs"
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=256 * MIB,
    processes=64,
    tmp_bytes=16 * MIB,
    disk_bytes=64 * MIB,
    files=4096,
    log_bytes=MIB,
    wall_ms=20_000,
)


@dataclass
class Ran:
    """One attack, seen from outside."""

    outcome: Outcome
    stdout: str
    stderr: str
    collected: Collected | None
    spool: Path
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.stdout.splitlines()


@pytest.fixture(scope="session", autouse=True)
def root_on_linux() -> None:
    """On a host that can run these tests they run; everywhere else the reason is said."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the hostile tests attack the full sandbox, which needs Linux and root")


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Below a folder that only root may enter, as a home below /root is."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    return private / "home"


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every one in turn, with an engine of its own for the session where it needs one."""
    name: str = request.param
    if name == "bubblewrap":
        yield Backend(name, None)
        return
    with running(name.split("-")[0]) as engine:
        yield Backend(name, engine)


@pytest.fixture(autouse=True)
def outcomes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every outcome is printed, so that a test that fails says what its sandbox said, with all details."""

    def telling(run: Callable[..., Awaitable[Outcome]]) -> Callable[..., Awaitable[Outcome]]:
        async def told(sandbox: AnySandbox, task: Task, *rest: Any) -> Outcome:
            outcome = await run(sandbox, task, *rest)
            print(f"{task.key} {task.argv}: {outcome}")
            return outcome

        return told

    for kind in (BubblewrapSandbox, EngineSandbox):
        monkeypatch.setattr(kind, "run", telling(kind.run))


@pytest.fixture
def differs(backend: Backend) -> Differences:
    """In what this sandbox is not like the others."""
    return backend.differs


@pytest.fixture
async def sandbox(home: Path, interpreter: Interpreter, backend: Backend) -> AsyncIterator[AnySandbox]:
    sandbox = backend.make(home, interpreter)
    try:
        yield sandbox
    finally:
        await sandbox.close()


@pytest.fixture
def left_over(home: Path, backend: Backend) -> Callable[[], list[str]]:
    """Everything of this home that a look at the host and at the engine finds."""
    return lambda: look(home, backend.running)


def look(home: Path, engine: RunningEngine | None) -> list[str]:
    """Processes, mounts, devices, cgroups, files; containers, volumes, and what an engine has running beside them."""
    prefix, first = owned.prefix(home), owned.first_user(home)
    kernel = f"runsc-sandbox --root={engine.folder}/" if engine is not None else None
    found = [f"process {pid} {line}" for pid, line in _processes() if _is_job(pid, line, first, kernel)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if str(home) in line]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if str(home) in backing.read_text():
                device = backing.parts[3]
                found.append(f"device {device}")
                found += [f"mount {line}" for line in mounts if f"/dev/{device} " in line]
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        found += [f"cgroup {folder}/{name}" for name in names if name.startswith(prefix)]
    if (home / "volumes").is_dir():
        files = sorted(path.name for path in (home / "volumes").iterdir())
        found += [f"file {name}" for name in files if not name.startswith("template-")]
    if engine is not None:
        found += [f"beside {pid} {line}" for pid, line in engine.processes()]
        found += _of_engine(engine)
    return found


def _of_engine(engine: RunningEngine) -> list[str]:
    """Every container and volume it has: in tests all of them are ours."""
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)), base_url="http://engine") as client:
            containers = client.get("/containers/json", params={"all": 1}).json()
            volumes = client.get("/volumes").json()["Volumes"] or []
    except httpx.TransportError:
        return []  # killed
    return [f"container {c['Names']}" for c in containers] + [f"volume {v['Name']}" for v in volumes]


@pytest.fixture
def attack(
    sandbox: AnySandbox, interpreter: Interpreter, left_over: Callable[[], list[str]], tmp_path: Path
) -> Callable[..., object]:
    """Run one of `jobs/` and release it, asserting that nothing of it is left."""

    async def run(
        name: str, *arguments: str, patterns: tuple[str, ...] = (), mounts: tuple[Mount, ...] = (), **changes: int
    ) -> Ran:
        task = job(interpreter, name, *arguments, key="", **changes)
        task = msgspec.structs.replace(task, mounts=(*task.mounts, *mounts))
        streams: dict[int, list[bytes]] = {1: [], 2: []}
        await sandbox.prepare(task)
        try:
            outcome = await sandbox.run(task, lambda stream, data: streams[stream].append(data))
            still = [line for line in left_over() if line.startswith("process")]
            assert not still, "processes outlived the run"
            collected = None
            if patterns:
                collected = await sandbox.outputs(task.key, patterns, tmp_path / "spool", CollectLimits())
        finally:
            await sandbox.release(task.key)
        assert await _settles(left_over) == []
        text = {stream: b"".join(parts).decode(errors="replace") for stream, parts in streams.items()}
        return Ran(outcome, text[1], text[2], collected, tmp_path / "spool")

    return run


def job(interpreter: Interpreter, name: str, *arguments: str, key: str = "", **changes: int) -> Task:
    """A task that runs `jobs/<name>.py`; `changes` replace limits."""
    return Task(
        key=key or f"attack-{name}",
        argv=(interpreter.executable, "-I", f"/job/{name}.py", *arguments),
        environment=interpreter.environment,
        working_folder="/out",
        mounts=(*interpreter.mounts, Mount(JOBS, "/job")),
        limits=msgspec.structs.replace(LIMITS, **changes),
        outputs=True,
    )


@pytest.fixture
def make_job(interpreter: Interpreter) -> Callable[..., Task]:
    def make(name: str, *arguments: str, key: str = "", **changes: int) -> Task:
        return job(interpreter, name, *arguments, key=key, **changes)

    return make


async def _settles(look: Callable[[], list[str]], seconds: float = 3.0) -> list[str]:
    """The kernel frees a loop device a moment after its last mount has gone, and engines end what they started beside
    a container a moment after that."""
    until = time.monotonic() + seconds
    found = look()
    while found and time.monotonic() < until:
        await asyncio.sleep(0.02)
        found = look()
    return found


@pytest.fixture
def settles() -> Callable[..., object]:
    return _settles


def _processes() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found.append((int(name), line))
    return found


def _is_job(pid: int, line: str, first_user: int, kernel: str | None) -> bool:
    """Whether a process runs as one of the users that jobs of this home get, or is the kernel of one, and is more
    than a zombie."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    user = int(status.split("\nUid:", 1)[1].split()[0])
    state = status.split("\nState:", 1)[1].split()[0]
    is_user = first_user <= user < first_user + owned.USERS_PER_HOME
    return state != "Z" and (is_user or (kernel is not None and line.startswith(kernel)))
