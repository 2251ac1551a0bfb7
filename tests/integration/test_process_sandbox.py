"""The process sandbox, as if the WebAssembly host that it holds had been broken out of: a stranger's native code."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent.collect import CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Limits, Mount, Outcome, Reason, SandboxError, Task
from hypernode.agent.sandboxes.process import ProcessSandbox

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=256 * MIB,
    processes=16,
    tmp_bytes=MIB,
    disk_bytes=8 * MIB,
    files=64,
    log_bytes=64 << 10,
    wall_ms=20_000,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def sandbox(tmp_path: Path, interpreter: Interpreter) -> AsyncIterator[ProcessSandbox]:
    sandbox = ProcessSandbox(tmp_path / "home", interpreter)
    try:
        yield sandbox
    finally:
        await sandbox.close()


def task(folder: Path, interpreter: Interpreter, code: str, **changes: int) -> Task:
    script = folder / "script.py"
    script.write_text(code)
    data = folder / "data.txt"
    data.write_text("input")
    return Task(
        key="task",
        argv=(interpreter.executable, "-I", "-S", "/opt/job/script.py", "argument"),
        environment={"NAMED": "yes"},
        working_folder="/out",
        mounts=(Mount(script, "/opt/job/script.py"), Mount(data, "/in/data.txt")),
        limits=msgspec.structs.replace(LIMITS, **changes),
        outputs=True,
        report=True,
    )


async def run(sandbox: ProcessSandbox, todo: Task) -> tuple[Outcome, str, str]:
    streams = {1: b"", 2: b""}

    def on_output(stream: int, data: bytes) -> None:
        streams[stream] += data

    await sandbox.prepare(todo)
    outcome = await sandbox.run(todo, on_output)
    return outcome, streams[1].decode(), streams[2].decode()


ORDINARY = """
import os, sys
root = os.environ.pop("HYPERNODE_ROOT")
print(sys.argv[1:], sorted(set(os.environ) - {"LC_CTYPE", "MALLOC_ARENA_MAX"}), open(root + "/in/data.txt").read())
open(root + "/out/result", "w").write("42")
os.write(0, b"said")
sys.exit(3)
"""


async def test_ordinary_work(sandbox: ProcessSandbox, interpreter: Interpreter, tmp_path: Path) -> None:
    outcome, out, err = await run(sandbox, task(tmp_path, interpreter, ORDINARY))
    assert (out, err) == ("['argument'] ['LANG', 'NAMED'] input\n", "")
    assert (outcome.reason, outcome.exit_code, outcome.report) == (Reason.EXITED, 3, b"said")
    assert outcome.usage.cpu_ms > 0
    assert outcome.usage.memory_peak_bytes > MIB
    found = await sandbox.outputs("task", ("result",), tmp_path / "spool", CollectLimits())
    assert [file.size_bytes for file in found.accepted] == [2]
    await sandbox.release("task")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["seccomp.bpf"]


ESCAPED = """
import ctypes, os, socket
port, secret, abstract = int({port}), {secret!r}, {abstract!r}
def attempt(name, what):
    try:
        what()
        print("REACHED", name)
    except OSError as error:
        print("refused", name)
attempt("file", lambda: open(secret).read())
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("folder", lambda: os.listdir("/root"))
attempt("write", lambda: open("/tmp/hypernode-escaped", "w"))
attempt("input", lambda: open(os.environ["HYPERNODE_ROOT"] + "/in/data.txt", "w"))
attempt("script", lambda: open(__file__, "w"))
attempt("link", lambda: os.symlink("/etc", os.environ["HYPERNODE_ROOT"] + "/escape"))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", port), 2))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0" + abstract))
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)))
attempt("vsock", lambda: socket.socket(40))
attempt("signal", lambda: os.kill(os.getppid(), 0))
attempt("exec", lambda: os.execv("/bin/sh", ["sh", "-c", "cat " + secret]) if os.access(secret, os.R_OK) and 0 else
        open(secret))
library = ctypes.CDLL(None, use_errno=True)
print("ptrace", library.ptrace(16, os.getppid(), 0, 0), "unshare", library.unshare(0x10000000))
"""


async def test_broken_out_of_webassembly_there_is_still_nothing_to_reach(
    sandbox: ProcessSandbox, interpreter: Interpreter, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    name = f"hypernode-bait-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        code = ESCAPED.format(port=server.getsockname()[1], secret=str(secret), abstract=name)
        _, out, err = await run(sandbox, task(tmp_path, interpreter, code))
    assert "s3cret" not in out + err
    refused = {line.split()[1] for line in out.splitlines() if line.startswith("refused")}
    # What newer versions of Landlock refuse, this kernel may not know yet; the rest every kernel with it refuses.
    newer = {"connect": 4, "listen": 4, "abstract": 6, "signal": 6}
    version = _landlock()
    expected = {"file", "shadow", "folder", "write", "input", "script", "link", "vsock", "exec"}
    if version < 1:
        pytest.fail("this kernel has no Landlock: the sandbox is weaker here than its documentation says")
    assert refused >= expected | {what for what, since in newer.items() if version >= since}, (version, out, err)
    assert "ptrace -1 unshare -1" in out
    assert not Path("/tmp/hypernode-escaped").exists()


def _landlock() -> int:
    import ctypes

    return int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


@pytest.mark.parametrize(
    ("code", "changes", "reason"),
    [
        ("while True: pass", {"wall_ms": 700}, Reason.TIMEOUT),
        ("import os\nwhile True: os.write(1, b'x' * 65536)", {}, Reason.LOG_LIMIT),
        (
            "import os, time\nfor n in range(40):\n"
            " open(os.environ['HYPERNODE_ROOT'] + f'/out/{n}', 'wb').write(b'x' * 1048576)\ntime.sleep(60)",
            {},
            Reason.DISK_LIMIT,
        ),
        ("x = bytearray(1 << 30)", {}, Reason.EXITED),
    ],
    ids=["time", "log", "disk", "memory"],
)
async def test_limits_hold(
    sandbox: ProcessSandbox,
    interpreter: Interpreter,
    tmp_path: Path,
    code: str,
    changes: dict[str, int],
    reason: Reason,
) -> None:
    outcome, out, err = await run(sandbox, task(tmp_path, interpreter, code, **changes))
    assert outcome.reason is reason, (outcome, err)
    assert len(out) + len(err) == outcome.usage.log_bytes <= LIMITS.log_bytes
    if reason is Reason.EXITED:
        assert outcome.exit_code == 1
        assert "MemoryError" in err
    else:
        assert outcome.exit_code is None
        assert outcome.usage.wall_ms < 10_000


FOREVER = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"


async def test_cancelling_and_killing(sandbox: ProcessSandbox, interpreter: Interpreter, tmp_path: Path) -> None:
    spoke: asyncio.Queue[bytes] = asyncio.Queue()
    for how in ("cancel", "kill"):
        todo = task(tmp_path, interpreter, FOREVER)
        await sandbox.prepare(todo)
        running = asyncio.create_task(sandbox.run(todo, lambda stream, data: spoke.put_nowait(data)))
        pid = int(await asyncio.wait_for(spoke.get(), 10))
        if how == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            await sandbox.kill("task", Reason.CANCELLED)
            assert (await running).reason is Reason.CANCELLED
        assert not Path(f"/proc/{pid}").exists()
        await sandbox.release("task")


AGENT = """
import asyncio, sys
from pathlib import Path
from hypernode.agent import interpreter
from hypernode.agent.sandboxes.process import ProcessSandbox
sys.path.insert(0, {tests!r})
from integration.test_process_sandbox import FOREVER, task

async def main():
    python = interpreter.prepare(Path({store!r}))
    sandbox = ProcessSandbox(Path({folder!r}) / "home", python)
    todo = task(Path({folder!r}), python, FOREVER)
    await sandbox.prepare(todo)
    await sandbox.run(todo, lambda stream, data: print(data.decode(), flush=True))

asyncio.run(main())
"""


async def test_a_killed_agent_leaves_no_process_and_the_next_start_no_folder(
    sandbox: ProcessSandbox, interpreter: Interpreter, tmp_path: Path
) -> None:
    store = interpreter.mounts[0].source.parent.parent if interpreter.mounts else tmp_path
    code = AGENT.format(tests=str(Path(__file__).parent.parent), store=str(store), folder=str(tmp_path))
    agent = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    try:
        pid = int(await asyncio.to_thread(agent.stdout.readline))
        watched = os.pidfd_open(pid)
        agent.send_signal(signal.SIGKILL)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(watched, ended.set)
        await asyncio.wait_for(ended.wait(), 5)
        loop.remove_reader(watched)
        os.close(watched)
    finally:
        agent.kill()
        agent.wait()
        agent.stdout.close()
    assert (tmp_path / "home" / "task").is_dir()
    await sandbox.reap()
    assert not (tmp_path / "home" / "task").exists()


async def test_only_hosts_of_other_programs_are_taken(
    sandbox: ProcessSandbox, interpreter: Interpreter, tmp_path: Path
) -> None:
    todo = msgspec.structs.replace(task(tmp_path, interpreter, ""), report=False)
    with pytest.raises(SandboxError) as refused:
        await sandbox.prepare(todo)
    assert refused.value.code == "sandbox.task_invalid"
