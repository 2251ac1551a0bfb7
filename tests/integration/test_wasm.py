"""WebAssembly tasks in the real sandbox: what they see, that two runs cannot differ, and what stops them."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import wasmtime
from msgspec.structs import replace

from hypernode.agent import interpreter as interpreters
from hypernode.agent import plan
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.process import ProcessSandbox
from hypernode.agent.wasm import selftest, site
from hypernode.agent.wasm.host import WasmHost
from hypernode.agent.wasm.report import judge_run, ran
from hypernode.jobs.model import WasmRuntime, parse
from hypernode.ledger.receipt import Outcome
from hypernode.protocol.messages import LeaseRef
from integration.wasm_modules import compile_text, module

MIB = 1 << 20
ENOTSUP = 58


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the full sandbox needs Linux and root")


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=["bubblewrap", "process"])
def kind(request: pytest.FixtureRequest) -> str:
    """The sandbox around the runner: the strongest, and the one of hosts that have none."""
    return str(request.param)


@pytest.fixture(scope="module")
def wasm_folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wasm")


class Ended(NamedTuple):
    verdict: plan.Verdict
    out: bytes
    err: str
    files: dict[str, bytes]

    @property
    def numbers(self) -> list[int]:
        """What `$say` said."""
        return [number for (number,) in struct.iter_unpack("<I", self.out)]


class Node:
    """A sandbox and a WebAssembly host, and a way to run a module with them as an attempt does."""

    def __init__(self, folder: Path, host: WasmHost, sandbox: Sandbox) -> None:
        self.folder = folder
        self.host = host
        self.sandbox = sandbox

    async def run(self, data: bytes, *arguments: str, task: int = 0, files: Any = None, **fields: Any) -> Ended:
        inputs = {"m.wasm": data, **(files or {})}
        paths: dict[str, Path] = {}
        references: dict[str, Any] = {}
        for name, content in inputs.items():
            sha256 = hashlib.sha256(content).hexdigest()
            paths[sha256] = self.folder / sha256
            if not paths[sha256].exists():
                paths[sha256].write_bytes(content)
            references[name] = {"sha256": sha256, "size_bytes": len(content)}
        runtime = {"type": "wasm", "module": "m.wasm", "arguments": list(arguments)}
        runtime |= {name: fields.pop(name) for name in ("fuel", "seed") if name in fields}
        resources = {"memory_bytes": fields.pop("memory", 16 * MIB), "disk_bytes": 8 * MIB}
        document = parse(
            {
                "version": 1,
                "runtime": runtime,
                "cap": 1,
                "inputs": references,
                "resources": resources,
                "timeout_s": 20,
                **fields,
            }
        )
        assert isinstance(document.runtime, WasmRuntime)
        streams = {1: b"", 2: b""}

        def on_output(stream: int, part: bytes) -> None:
            streams[stream] += part

        lease = LeaseRef(uuid.uuid4().bytes, task, 1)
        async with self.host.compiled(document.inputs["m.wasm"].sha256, paths[references["m.wasm"]["sha256"]]) as made:
            todo = self.host.task(lease, document, document.runtime, paths, made)
            await self.sandbox.prepare(todo)
            try:
                ended = await self.sandbox.run(todo, on_output)
                collected, spool = None, self.folder / "spool"
                if document.outputs:
                    spool.mkdir(exist_ok=True)
                    bounds = plan.collect_limits(document)
                    collected = await self.sandbox.outputs(todo.key, document.outputs, spool, bounds)
            finally:
                await self.sandbox.release(todo.key)
        verdict = judge_run(document, ended, collected)
        found = {output.path: (spool / output.sha256).read_bytes() for output in verdict.outputs}
        return Ended(verdict, streams[1], streams[2].decode(), found)


async def make_node(tmp_path: Path, interpreter: Interpreter, wasm_folder: Path, kind: str = "bubblewrap") -> Node:
    make = BubblewrapSandbox if kind == "bubblewrap" else ProcessSandbox
    sandbox: Sandbox = make(tmp_path / "sandbox", interpreter)
    host = WasmHost(wasm_folder, interpreter, sandbox, 1 << 30)
    assert await host.make() is None
    return Node(tmp_path, host, sandbox)


@pytest.fixture
async def node(tmp_path: Path, interpreter: Interpreter, wasm_folder: Path, kind: str) -> AsyncIterator[Node]:
    node = await make_node(tmp_path, interpreter, wasm_folder, kind)
    try:
        yield node
    finally:
        await node.sandbox.close()


# ── what a task sees ────────────────────────────────────────────────────────────────────────────────────────────────


ARGUMENTS = module(
    "(drop (call $args_sizes_get (i32.const 32) (i32.const 36)))"
    "(drop (call $args_get (i32.const 1024) (i32.const 2048)))"
    "(call $put (i32.const 2048) (i32.load (i32.const 36))) (call $exit (i32.const 200))"
)


async def test_arguments_output_and_exit_code(node: Node) -> None:
    ended = await node.run(ARGUMENTS, "--n", "ü", "")
    assert ended.out == "m.wasm\0--n\0ü\0\0".encode()  # without a final newline, and all of it
    # 200 is above 128 and still no signal.
    assert (ended.verdict.outcome, ended.verdict.exit_code, ended.verdict.signal) == (Outcome.EXITED, 200, None)
    assert ended.err == ""


COPY = module(
    "(if (call $open (i32.const 4) $0 (i32.const 0)) (then (call $exit (i32.const 1))))"
    "(i32.store (i32.const 0) (i32.const 8192)) (i32.store (i32.const 4) (i32.const 100))"
    "(drop (call $fd_read (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(if (call $open (i32.const 3) $1 (i32.const 1)) (then (call $exit (i32.const 2))))"
    "(i32.store (i32.const 4) (i32.load (i32.const 8)))"
    "(drop (call $fd_write (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))",
    "sub/data.txt",
    "result.txt",
)


async def test_reads_inputs_and_writes_outputs(node: Node) -> None:
    ended = await node.run(COPY, files={"sub/data.txt": b"forty-two"}, outputs=["result.txt"])
    assert (ended.verdict.outcome, ended.verdict.exit_code) == (Outcome.EXITED, 0)
    assert ended.files == {"result.txt": b"forty-two"}
    # Without declared outputs there is nowhere to write: descriptor 3 is /in then, which is read-only.
    assert (await node.run(COPY, files={"sub/data.txt": b""})).verdict.exit_code == 1


async def test_no_variable_that_the_job_does_not_name(node: Node) -> None:
    environ = module(
        "(drop (call $environ_sizes_get (i32.const 32) (i32.const 36)))"
        "(drop (call $environ_get (i32.const 1024) (i32.const 2048)))"
        "(call $put (i32.const 2048) (i32.load (i32.const 36)))"
    )
    assert (await node.run(environ)).out == b""
    ended = await node.run(environ, task=3, environment={"A": "b=c"}, array={"size": 5, "index_variable": "I"})
    assert sorted(ended.out.split(b"\0")[:-1]) == [b"A=b=c", b"HYPERNODE_ARRAY_SIZE=5", b"I=3"]


async def test_paths_lead_nowhere_else(node: Node) -> None:
    """Errors, all but the creation of a link that stays below; and that one leads nowhere either."""
    body = "".join(
        f"(call $say (call $open (i32.const {folder}) ${path} (i32.const {flags})))"
        for folder, path, flags in (
            (3, 0, 0),  # ../etc/passwd
            (3, 1, 0),  # /etc/passwd
            (4, 0, 0),
            (4, 3, 1),  # a new file in /in
            (4, 4, 1),  # the module itself, to be written
            (6, 3, 1),  # no such folder
        )
    )
    body += "(call $say (call $path_symlink $1 (i32.const 3) $2))"  # to /etc/passwd
    body += "(call $say (call $path_symlink $0 (i32.const 3) $2))"  # to ../etc/passwd
    body += "(call $say (call $open (i32.const 3) $2 (i32.const 0)))"
    ended = await node.run(module(body, "../etc/passwd", "/etc/passwd", "link", "new", "m.wasm"), outputs=["*"])
    *refused, _, through = ended.numbers
    assert all(refused), refused
    assert through != 0
    assert ended.files == {}


async def test_no_sockets(node: Node) -> None:
    body = (
        "(call $say (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 24)))"
        "(call $say (call $sock_send (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 24)))"
    )
    assert (await node.run(module(body))).numbers == [ENOTSUP, ENOTSUP]
    opens = '(module (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))'
    with pytest.raises(GiveBack, match="sock_open"):
        await node.run(compile_text(opens + '(memory (export "memory") 1) (func (export "_start")))'))


# ── two runs cannot differ ──────────────────────────────────────────────────────────────────────────────────────────


async def test_fuel_is_equal_on_every_run_and_node(
    node: Node, tmp_path: Path, interpreter: Interpreter, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = (
        "(local $n i32) (local $x f64) (local.set $n (i32.const 100000)) (loop $again"
        " (local.set $x (f64.sqrt (f64.add (local.get $x) (f64.convert_i32_s (local.get $n)))))"
        " (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
        "(f64.store (i32.const 24) (local.get $x)) (call $put (i32.const 24) (i32.const 8))"
    )
    runs = await asyncio.gather(*(node.run(module(body)) for _ in range(3)))
    (tmp_path / "other").mkdir()
    other = await make_node(tmp_path / "other", interpreter, tmp_path_factory.mktemp("wasm-other"))
    try:
        runs.append(await other.run(module(body)))
    finally:
        await other.sandbox.close()
    assert {(run.verdict.fuel, run.out) for run in runs} == {(runs[0].verdict.fuel, runs[0].out)}
    assert runs[0].verdict.fuel is not None
    assert 500_000 < runs[0].verdict.fuel < 3_000_000


async def test_a_nan_has_one_form(node: Node) -> None:
    """What x86 gives for 0/0 has the sign set, what arm64 gives has not."""
    body = (
        "(local f64) (f64.store (i32.const 24) (f64.div (local.get 0) (local.get 0)))"
        "(f64.store (i32.const 32) (f64.mul (f64.sqrt (f64.const -1)) (f64.const -1)))"
        "(call $put (i32.const 24) (i32.const 16))"
    )
    ended = await node.run(module(body))
    assert ended.out == struct.pack("<QQ", 0x7FF8000000000000, 0x7FF8000000000000)


RANDOM = module(
    "(call $say (call $random_get (i32.const 2048) (i32.const 40))) (call $put (i32.const 2048) (i32.const 40))"
    "(call $say (call $random_get (i32.const 2048) (i32.const 8))) (call $put (i32.const 2048) (i32.const 8))"
    "(call $say (call $random_get (i32.const 2048) (i32.const -1)))"
)


async def test_randomness_comes_from_the_seed_or_not_at_all(node: Node) -> None:
    first, again, other, task = [
        (await node.run(RANDOM, seed=seed, task=task)).out for seed, task in ((7, 0), (7, 0), (8, 0), (7, 1))
    ]
    assert first == again
    assert len({first, other, task}) == 3
    prefix = b"hypernode wasm random v1\0" + struct.pack(">QQ", 7, 0)
    stream = b"".join(hashlib.sha256(prefix + struct.pack(">Q", block)).digest() for block in range(2))
    assert first == bytes(4) + stream[:40] + bytes(4) + stream[40:48] + struct.pack("<I", 21)
    refused = await node.run(RANDOM)
    assert struct.unpack("<I", refused.out[:4]) == (ENOTSUP,)
    assert refused.out[4:44] == bytes(40)
    assert refused.err.count("this job has no seed") == 1


async def test_clocks_stand_still_and_sleep_is_over_at_once(node: Node) -> None:
    hour = 3600 * 10**9
    body = (
        "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 2048)))"
        "(drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 2056)))"
        "(i64.store (i32.const 1024) (i64.const 77)) (i32.store (i32.const 1040) (i32.const 1))"  # user data, clock
        f"(i64.store (i32.const 1048) (i64.const {hour}))"
        "(call $say (call $poll_oneoff (i32.const 1024) (i32.const 3072) (i32.const 1) (i32.const 2072)))"
        "(drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 2064)))"
        "(call $put (i32.const 2048) (i32.const 28)) (call $put (i32.const 3072) (i32.const 8))"
        "(call $say (call $clock_time_get (i32.const 9) (i64.const 1) (i32.const 2048)))"
        "(call $say (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const -4)))"
    )
    ended = await node.run(module(body))
    assert struct.unpack("<IQQQIQII", ended.out) == (0, 946_684_800 * 10**9, 0, 0, 1, 77, 28, 21)


async def test_files_have_no_times_and_folders_an_order(node: Node) -> None:
    body = "".join(f"(drop (call $open (i32.const 3) ${name} (i32.const 1)))" for name in range(4))
    body += (
        "(call $say (call $fd_filestat_get (i32.load (i32.const 24)) (i32.const 2048)))"
        "(call $put (i32.const 2048) (i32.const 64))"
        "(call $say (call $path_filestat_get (i32.const 4) (i32.const 0) $4 (i32.const 2048)))"
        "(call $put (i32.const 2048) (i32.const 64))"
        "(call $say (call $fd_readdir (i32.const 3) (i32.const 8192) (i32.const 60) (i64.const 0) (i32.const 2048)))"
        "(call $say (i32.load (i32.const 2048)))"
        "(call $say (call $fd_readdir (i32.const 3) (i32.const 8192) (i32.const 400) (i64.const 2) (i32.const 2048)))"
        "(call $put (i32.const 8192) (i32.load (i32.const 2048)))"
        "(call $say (call $path_filestat_get (i32.const 4) (i32.const 0) $5 (i32.const 2048)))"
    )
    program = module(body, "zz", "b", "a", "mm", "m.wasm", "absent")
    ended = await node.run(program, outputs=["*"])
    again = await node.run(program, outputs=["*"])
    assert (ended.out, ended.verdict.fuel) == (again.out, again.verdict.fuel)
    year_2000 = 946_684_800 * 10**9
    stat = struct.Struct("<QQB7xQQQQQ")
    assert stat.unpack(ended.out[4:68]) == (0, 1, 4, 1, 0, year_2000, year_2000, year_2000)
    assert stat.unpack(ended.out[72:136]) == (0, 2, 4, 1, len(program), year_2000, year_2000, year_2000)
    listing = ended.out[136:]
    assert struct.unpack("<III", listing[:12]) == (0, 60, 0)  # cut in the middle of an entry, and gone on with
    names, at = [], 12
    while at < len(listing) - 4:
        following, inode, length, _ = struct.unpack("<QQIB3x", listing[at : at + 24])
        names.append(listing[at + 24 : at + 24 + length])
        assert (following, inode > 0) == (len(names) + 2, True)
        at += 24 + length
    assert names == [b"a", b"b", b"mm", b"zz"]
    assert struct.unpack("<I", listing[-4:]) == (44,)  # ENOENT


# ── what stops a task ───────────────────────────────────────────────────────────────────────────────────────────────

SPIN = module("(loop $again (br $again))")


async def test_fuel_runs_out(node: Node) -> None:
    ended = await node.run(SPIN, fuel=1_000_000)
    assert (ended.verdict.outcome, ended.verdict.exit_code) == (Outcome.OUT_OF_FUEL, None)
    assert ended.verdict.fuel == 1_000_000
    assert "out of fuel" in ended.verdict.notes[0]


async def test_without_fuel_the_timeout_ends_it(node: Node) -> None:
    ended = await node.run(SPIN, timeout_s=1)
    assert (ended.verdict.outcome, ended.verdict.fuel) == (Outcome.TIMEOUT, None)


async def test_memory_ends_at_the_limit(node: Node) -> None:
    grows = module(
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (call $say (memory.size))"
        # … and all of it can be used.
        "(memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536))"
        " (i32.const 65536)))"
    )
    for mebibytes in (16, 256):
        ended = await node.run(grows, memory=mebibytes * MIB)
        assert ended.verdict.exit_code == 0
        assert mebibytes * 16 - 16 < ended.numbers[0] <= mebibytes * 16
    large = compile_text('(module (memory (export "memory") 300) (func (export "_start")))')
    ended = await node.run(large, memory=16 * MIB)
    assert ended.verdict.exit_code == 134
    assert "memory" in ended.err


@pytest.mark.parametrize(
    ("body", "functions", "says"),
    [
        ("(call $deeper)", "(func $deeper (call $deeper))", "stack exhausted"),
        ("unreachable", "", "unreachable"),
        ("(drop (i32.load (i32.const -8)))", "", "out of bounds"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "", "divide by zero"),
    ],
)
async def test_a_trap_is_an_exit_with_134(node: Node, body: str, functions: str, says: str) -> None:
    ended = await node.run(module(body, functions=functions))
    assert (ended.verdict.outcome, ended.verdict.exit_code, ended.verdict.signal) == (Outcome.EXITED, 134, None)
    assert says in ended.err
    assert ended.verdict.fuel is not None


async def test_a_flood_of_output_is_cut(node: Node) -> None:
    ended = await node.run(module("(loop $again (call $put (i32.const 8192) (i32.const 65536)) (br $again))"))
    assert ended.verdict.outcome is Outcome.LOG_LIMIT


async def test_nobody_forges_the_report(node: Node) -> None:
    """The runner's pipe is descriptor 0 of its process when it starts. Whatever descriptor the program tries, its own
    standard input or one beyond its folders, what the node reads is what the runner says."""
    said = '{"exit_code":0,"fuel":1,"out_of_fuel":false,"trap":"","own_us":1}'
    text = f"(i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const {len(said)}))"
    body = "".join(
        f"{text}(call $say (call $fd_write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))"
        for descriptor in (0, *range(3, 24))
    )
    ended = await node.run(module(body + "(call $exit (i32.const 9))", said))
    assert all(ended.numbers)
    assert ended.verdict.exit_code == 9
    assert ended.verdict.fuel is not None
    assert ended.verdict.fuel > 100


# ── modules that are none ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a WebAssembly module"),
        (b'(module (memory (export "memory") 1) (func (export "_start")))', "not a WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"\0asm\x01\0\0\0\xff\xff\xff\xff", "section"),
        (compile_text('(module (memory (export "memory") 1))'), "_start"),
        (compile_text('(module (func (export "_start")))'), "memory"),
        (
            compile_text(
                '(module (import "env" "system" (func)) (memory (export "memory") 1) (func (export "_start")))'
            ),
            "env::system",
        ),
        (
            compile_text(
                '(module (import "wasi_snapshot_preview1" "random_get" (func)) (memory (export "memory") 1)'
                ' (func (export "_start")))'
            ),
            "random_get",
        ),
        (compile_text('(module (memory (export "memory") 1 1 shared) (func (export "_start")))'), "threads"),
    ],
    ids=["empty", "text", "component", "torn", "no start", "no memory", "unknown", "other type", "threads"],
)
async def test_what_cannot_be_run_is_the_jobs_fault(node: Node, data: bytes, says: str) -> None:
    with pytest.raises(GiveBack, match=says) as caught:
        await node.run(data)
    assert (caught.value.code, caught.value.job_fault) == ("wasm.bad_module", True)


async def test_machine_code_is_never_taken(node: Node) -> None:
    """A compiled module of this very engine, which would load and run."""
    source = node.folder / "own.wasm"
    source.write_bytes(ARGUMENTS)
    async with node.host.compiled(hashlib.sha256(ARGUMENTS).hexdigest(), source) as compiled:
        code = compiled.read_bytes()
    assert code.startswith(b"\x7fELF")
    with pytest.raises(GiveBack, match="not a WebAssembly module"):
        await node.run(code)


# ── the node's side ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_compiled_code_that_changed_is_made_again(node: Node) -> None:
    source = node.folder / "own.wasm"
    source.write_bytes(ARGUMENTS)
    sha256 = hashlib.sha256(ARGUMENTS).hexdigest()
    async with node.host.compiled(sha256, source) as compiled:
        good, first = compiled.read_bytes(), compiled.stat().st_ino
    async with node.host.compiled(sha256, source) as compiled:
        assert compiled.stat().st_ino == first  # found, not made again
    compiled.chmod(0o644)
    compiled.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    async with node.host.compiled(sha256, source) as compiled:
        assert compiled.read_bytes() == good


async def test_compiled_modules_make_room(tmp_path: Path, interpreter: Interpreter, wasm_folder: Path) -> None:
    sandbox = BubblewrapSandbox(tmp_path / "sandbox", interpreter)
    try:
        host = WasmHost(tmp_path / "wasm", interpreter, sandbox, 40_000)  # two of them
        assert await host.make() is None
        for number in range(3):
            data = module(f"(call $exit (i32.const {number}))")
            source = tmp_path / f"{number}.wasm"
            source.write_bytes(data)
            async with host.compiled(hashlib.sha256(data).hexdigest(), source) as path:
                size = path.stat().st_size
        assert 14_000 < size < 20_000
        assert len(list((tmp_path / "wasm" / "compiled").iterdir())) == 2
    finally:
        await sandbox.close()


async def test_the_self_test_proves_it_or_says_what_failed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bytes(wasmtime.wat2wasm(selftest.SOURCE)) == selftest.MODULE
    assert await node.host.probe() is None
    assert node.host.proved
    monkeypatch.setattr(selftest, "FINE", 41)
    failure = await node.host.probe()
    assert failure is not None
    assert "exit code" in failure.remedy
    assert not node.host.proved


async def test_without_wasmtime_it_is_not_offered(
    tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    host = WasmHost(tmp_path, interpreter, BubblewrapSandbox(tmp_path / "sandbox", interpreter), 1)
    failure = await host.probe()
    assert failure is not None
    assert "install wasmtime" in failure.remedy


async def test_a_runner_that_says_nothing_is_not_the_jobs_fault(node: Node) -> None:
    """As when the compiled code does not load: nothing is accepted that was not reported."""
    broken = node.folder / "broken"
    broken.write_bytes(b"not code")
    todo = node.host.run_task("broken", broken, ("x",), bounds=selftest.LIMITS)
    await node.sandbox.prepare(todo)
    try:
        ended = await node.sandbox.run(todo, lambda stream, data: None)
    finally:
        await node.sandbox.release(todo.key)
    assert ran(ended) is None
    ref = {"sha256": "0" * 64, "size_bytes": 8}
    runtime = {"type": "wasm", "module": "m"}
    document = parse({"version": 1, "runtime": runtime, "cap": 1, "inputs": {"m": ref}})
    with pytest.raises(GiveBack) as caught:
        judge_run(document, ended, None)
    assert (caught.value.code, caught.value.job_fault) == ("sandbox.failed", False)


async def test_a_limit_on_addresses_is_enough_for_the_memory_of_a_module(node: Node, interpreter: Interpreter) -> None:
    """As on a host without cgroups, where that is the only bound on memory that there is."""
    made = site.make(node.folder / "wasm", interpreter)
    (folder,) = (mount.source for mount in made.mounts if mount.target == site.PLACE)
    source = node.folder / "selftest.wasm"
    source.write_bytes(selftest.MODULE)
    memory = 64 * MIB

    def runner(kibibytes: int, *arguments: str) -> bytes:
        reader, writer = os.pipe()
        limited = ["/bin/sh", "-c", f'ulimit -v {kibibytes}; exec "$@"', "sh"]
        program = [str(interpreter.host_executable), "-I", "-S", str(folder / site.INSIDE / "runner.py")]
        subprocess.run([*limited, *program, *arguments], stdin=writer, check=False, timeout=60)
        os.close(writer)
        said = os.read(reader, 10_000)
        os.close(reader)
        return said

    compiled = str(node.folder / "selftest.cwasm")
    assert runner(1 << 20, "compile", str(source), compiled) == b'{"compiled": true}'
    settings = {"fuel": 10**6, "seed": None, "task": 0, "memory_bytes": memory}
    settings |= {"inputs": False, "outputs": False, "variables": 0}
    addresses = node.host.run_task("x", source, ("x",), bounds=replace(selftest.LIMITS, memory_bytes=memory))
    assert addresses.limits.address_bytes is not None
    said = json.loads(runner(addresses.limits.address_bytes >> 10, "run", compiled, json.dumps(settings), *"xxx"))
    assert (said["exit_code"], said["trap"]) == (64, "")
