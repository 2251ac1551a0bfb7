"""The proof that WebAssembly works here: a module runs, and is stopped by its fuel, its memory and its stack."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Limits, Reason, Sandbox
from hypernode.agent.wasm import report

if TYPE_CHECKING:
    from hypernode.agent.wasm.host import WasmHost

MIB: Final = 1 << 20
LIMITS: Final = Limits(
    cpu_milli=1000,
    memory_bytes=16 * MIB,
    processes=64,
    tmp_bytes=MIB,
    disk_bytes=8 * MIB,
    files=64,
    log_bytes=64 << 10,
    wall_ms=20_000,
)
FUEL: Final = 100_000
FINE: Final = 42

SOURCE: Final = """(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
  (memory (export "memory") 1)
  (func (call 2))
  (func (export "_start") (local i32)
    (drop (call 0 (i32.const 0) (i32.const 4)))
    (local.set 0 (i32.load (i32.const 0)))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (call 1 (i32.const 42))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (loop (br 0))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then
      (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (call 1 (i32.shr_u (memory.size) (i32.const 4)))))
    (call 2)))"""
"""By the number of its arguments: exits, spins, grows until it may not (and exits with how many MiB it has), recurses.
A test compiles it and compares; the node itself needs no compiler of text."""
MODULE: Final = bytes.fromhex(
    "0061736d01000000010e0360027f7f017f60017f00600000024c0216776173695f736e617073686f745f70726576696577310e617267"
    "735f73697a65735f676574000016776173695f736e617073686f745f70726576696577310970726f635f657869740001030302020205"
    "03010001071302066d656d6f72790200065f737461727400030a4f02040010020b4801017f4100410410001a41002802002100200041"
    "01460440412a10010b2000410246044003400c000b0b20004103460440034041014000417f470d000b3f0041047610010b10020b"
)


async def prove(host: WasmHost, sandbox: Sandbox, folder: Path) -> None:
    """Compile and run it. Raises GiveBack with what did not hold."""
    source = folder / "selftest.wasm"
    source.unlink(missing_ok=True)  # nobody but root could write over it
    source.write_bytes(MODULE)
    source.chmod(0o444)

    async def run(name: str, arguments: int) -> report.Ran:
        task = host.run_task(
            f"selftest-wasm-{name}", compiled, ("selftest", *"x" * (arguments - 1)), bounds=LIMITS, fuel=FUEL
        )
        await sandbox.prepare(task)
        try:
            ended = await sandbox.run(task, lambda stream, data: None)
        finally:
            await sandbox.release(task.key)
        said = report.ran(ended)
        if said is None or ended.reason is not Reason.EXITED:
            raise GiveBack("sandbox.failed", f"the self-test {name} ended with {ended.reason}, {ended.exit_code}")
        return said

    async with host.compiled(hashlib.sha256(MODULE).hexdigest(), source) as compiled:
        exits, spins, grows, recurses = await asyncio.gather(
            run("exit", 1), run("fuel", 2), run("memory", 3), run("stack", 4)
        )
    held = {
        "exit code": exits.exit_code == FINE and not exits.trap,
        "fuel": spins.out_of_fuel and spins.fuel == FUEL,
        "memory": grows.exit_code == LIMITS.memory_bytes // MIB,
        "stack": "stack" in recurses.trap,
    }
    failed = [name for name, good in held.items() if not good]
    if failed:
        raise GiveBack("sandbox.failed", f"WebAssembly does not hold its bounds: {', '.join(failed)}")
