"""How long a WebAssembly task takes to start: `true` as a module, compiled before, beside plain fork and exec, taken in
turns so that noise is shared.

    python -m bench.wasm_start [--runs 30]

`own` is what we spend on one module in a process that is there: from having its compiled file to its first instruction,
engine, loading, linking and instantiating included. It is measured by the runner inside the sandbox, as jobs have it.
Neither the start of the sandbox nor of Python nor importing wasmtime is in it; `prepare + run` has all of that and the
end of the process, and `python: prepare + run` is the same for a Python that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import subprocess
import time
from pathlib import Path

import wasmtime

from bench.machine import Machine, every_sandbox
from bench.sandbox_start import LIMITS, WARM_UP, Samples, once, summarise
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.wasm.host import WasmHost
from hypernode.agent.wasm.report import ran

TRUE = '(module (memory (export "memory") 1) (func (export "_start")))'


async def measure(machine: Machine, runs: int) -> Samples:
    """Seconds per step, `runs` samples each."""
    samples: Samples = {}
    sandbox = machine.sandboxes["bubblewrap"]
    data = bytes(wasmtime.wat2wasm(TRUE))
    module = machine.folder / "true.wasm"
    module.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    for number in range(runs + WARM_UP):
        taken: dict[str, float] = {}
        start = time.perf_counter()
        subprocess.run(["/usr/bin/true"], check=True)  # noqa: ASYNC221 - blocking is what is compared
        taken["plain: fork + exec"] = time.perf_counter() - start
        taken.update(await _module(machine.wasm, sandbox, sha256, module, f"wasm-{number}"))
        empty = await once(sandbox, machine.interpreter, f"python-{number}", "python")
        taken["python: prepare + run"] = empty["python: prepare + run"]
        if number >= WARM_UP:
            for what, seconds in taken.items():
                samples.setdefault(what, []).append(seconds)
    return samples


async def _module(host: WasmHost, sandbox: Sandbox, sha256: str, module: Path, key: str) -> dict[str, float]:
    start = time.perf_counter()
    async with host.compiled(sha256, module) as compiled:
        found = time.perf_counter()
        task = host.run_task(key, compiled, ("true",), bounds=LIMITS)
        await sandbox.prepare(task)
        ended = await sandbox.run(task, lambda stream, data: None)
        end = time.perf_counter()
        await sandbox.release(key)
    said = ran(ended)
    if said is None or said.exit_code != 0:
        raise SystemExit(f"{ended}")
    return {
        "wasm: own": said.own_us / 1e6,
        "wasm: compiled module found and checked": found - start,
        "wasm: prepare + run": end - start,
    }


async def _main(runs: int) -> Samples:
    async with every_sandbox(engines=False) as machine:
        return await measure(machine, runs)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    print(f"{'':42}{'min ms':>10}{'p50 ms':>10}{'p95 ms':>10}")
    for name, figures in summarise(asyncio.run(_main(arguments.runs))).items():
        print(f"{name:42}{figures['min_ms']:>10}{figures['p50_ms']:>10}{figures['p95_ms']:>10}")


if __name__ == "__main__":
    main()
