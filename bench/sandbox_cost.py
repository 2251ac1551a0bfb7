"""What a sandbox costs a job while it runs: the same programs in each sandbox and in a bare process, in turns.

`compute` is arithmetic in Python that asks nothing of the kernel; `calls` is 100,000 times stat(2), which asks nothing
else. Both time themselves, so that no start of anything is in it. For WebAssembly a loop of integer arithmetic is
compared with the same loop in C.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec
import wasmtime

from bench.machine import Machine
from bench.sandbox_start import LIMITS, Samples
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import STDOUT, Sandbox, Task
from hypernode.agent.wasm.host import WasmHost

PROGRAM: Final = """
import os, time
def compute():
    x = 0
    for i in range(2_000_000):
        x = (x * 1103515245 + 12345 + i) & 0xffffffff
def calls():
    for _ in range(100_000):
        os.stat("/usr")
for work in (compute, calls):
    began = time.perf_counter()
    work()
    print(work.__name__, time.perf_counter() - began)
"""
ROUNDS: Final = 100_000_000
C: Final = f"""
#include <stdio.h>
int main(void) {{
  unsigned x = 0;
  for (unsigned i = 0; i < {ROUNDS}u; i++) x = x * 1103515245u + 12345u + i;
  return x & 1;
}}
"""
WAT: Final = f"""(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $x i32) (local $i i32)
    (loop $again
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1103515245)) (i32.const 12345)))
      (local.set $x (i32.add (local.get $x) (local.get $i)))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {ROUNDS}))))
    (call $exit (i32.and (local.get $x) (i32.const 1)))))"""


async def python(sandbox: Sandbox, interpreter: Interpreter, key: str) -> dict[str, float]:
    """Seconds of each kind of work in a sandbox, as the program itself measured them."""
    task = Task(
        key=key,
        argv=(interpreter.executable, "-I", "-S", "-c", PROGRAM),
        environment=interpreter.environment,
        working_folder="/tmp",
        mounts=interpreter.mounts,
        limits=msgspec.structs.replace(LIMITS, wall_ms=120_000),
        outputs=False,
    )
    said = b""

    def on_output(stream: int, data: bytes) -> None:
        nonlocal said
        if stream == STDOUT:
            said += data

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(key)
    if outcome.exit_code != 0:
        raise SystemExit(f"{key}: {outcome}")
    return _read(said)


def bare_python(interpreter: Interpreter) -> dict[str, float]:
    """The same without a sandbox."""
    command = [str(interpreter.host_executable), "-I", "-S", "-c", PROGRAM]
    return _read(subprocess.run(command, capture_output=True, check=True).stdout)


def _read(said: bytes) -> dict[str, float]:
    return {name: float(seconds) for name, seconds in (line.split() for line in said.decode().splitlines())}


def native(folder: Path) -> Path | None:
    """The loop in C, compiled; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    (folder / "loop.c").write_text(C)
    subprocess.run([compiler, "-O2", "-o", str(folder / "loop"), str(folder / "loop.c")], check=True)
    return folder / "loop"


def native_cpu(program: Path) -> float:
    """CPU seconds of one run of the loop in C."""
    import os

    process = subprocess.Popen([program])
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime


async def module(host: WasmHost, sandbox: Sandbox, folder: Path, key: str) -> float:
    """CPU seconds of the loop in WebAssembly, less those of a module that does nothing."""
    spent = []
    for name, text in (("loop", WAT), ("nothing", WAT.replace(f"(i32.const {ROUNDS})", "(i32.const 1)"))):
        data = bytes(wasmtime.wat2wasm(text))
        source = folder / f"{name}.wasm"
        source.write_bytes(data)
        async with host.compiled(hashlib.sha256(data).hexdigest(), source) as compiled:
            limits = msgspec.structs.replace(LIMITS, wall_ms=120_000)
            task = host.run_task(f"{key}-{name}", compiled, (name,), bounds=limits)
            await sandbox.prepare(task)
            try:
                outcome = await sandbox.run(task, lambda stream, data: None)
            finally:
                await sandbox.release(task.key)
        spent.append(outcome.usage.cpu_ms / 1000)
    return spent[0] - spent[1]


async def measure(machine: Machine, runs: int) -> Samples:
    """Seconds by sandbox and kind of work, `runs` samples each."""
    samples: Samples = {}
    loop = native(machine.folder)
    bubblewrap = machine.sandboxes["bubblewrap"]
    for number in range(runs):
        taken = {f"bare process: {work}": seconds for work, seconds in bare_python(machine.interpreter).items()}
        for name, sandbox in machine.sandboxes.items():
            spent = await python(sandbox, machine.interpreter, f"cost-{number}")
            taken.update({f"{name}: {work}": seconds for work, seconds in spent.items()})
        if loop is not None:
            taken["C: loop"] = native_cpu(loop)
            taken["wasm: loop"] = await module(machine.wasm, bubblewrap, machine.folder, f"cost-{number}")
        for what, seconds in taken.items():
            samples.setdefault(what, []).append(seconds)
    return samples
