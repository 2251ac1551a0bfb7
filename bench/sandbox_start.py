"""How long a job takes to start: `true` in every sandbox of this machine beside plain fork and exec, taken in turns so
that noise is shared.

    python -m bench.sandbox_start [--runs 20]

`whole` is prepare, run and release; `plain` is the same program without a sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import time

from bench.machine import Machine, every_sandbox
from hypernode.agent import interpreter
from hypernode.agent.sandboxes.base import Limits, Sandbox, Task

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=256 * MIB,
    processes=64,
    tmp_bytes=16 * MIB,
    disk_bytes=64 * MIB,
    files=4096,
    log_bytes=MIB,
    wall_ms=10_000,
)
WARM_UP = 3
Samples = dict[str, list[float]]


async def once(sandbox: Sandbox, python: interpreter.Interpreter, key: str, kind: str) -> dict[str, float]:
    """Seconds of each step of one task: `true`, `with /out` or `python`."""
    argv = (python.executable, "-I", "-S", "-c", "pass") if kind == "python" else ("/usr/bin/true",)
    task = Task(
        key=key,
        argv=argv,
        environment=python.environment,
        working_folder="/tmp",
        mounts=python.mounts,
        limits=LIMITS,
        outputs=kind == "with /out",
    )
    start = time.perf_counter()
    await sandbox.prepare(task)
    prepared = time.perf_counter()
    outcome = await sandbox.run(task, lambda stream, data: None)
    ran = time.perf_counter()
    await sandbox.release(key)
    end = time.perf_counter()
    if outcome.exit_code != 0:
        raise SystemExit(f"{kind}: {outcome}")
    return {
        f"{kind}: prepare": prepared - start,
        f"{kind}: run": ran - prepared,
        f"{kind}: prepare + run": ran - start,
        f"{kind}: whole": end - start,
    }


async def measure(machine: Machine, runs: int) -> Samples:
    """Seconds per sandbox, kind and step, `runs` samples each."""
    samples: Samples = {}
    for number in range(runs + WARM_UP):
        taken: dict[str, float] = {}
        start = time.perf_counter()
        subprocess.run(["/usr/bin/true"], check=True)  # noqa: ASYNC221 - blocking is what is compared
        taken["plain: fork + exec"] = time.perf_counter() - start
        for name, sandbox in machine.sandboxes.items():
            for kind in ("true", "with /out", "python"):
                found = await once(sandbox, machine.interpreter, f"bench-{number}", kind)
                taken.update({f"{name}, {what}": seconds for what, seconds in found.items()})
        if number >= WARM_UP:
            for name, seconds in taken.items():
                samples.setdefault(name, []).append(seconds)
    return samples


def summarise(samples: Samples) -> dict[str, dict[str, float]]:
    """Milliseconds: least, median and 95th percentile."""
    return {
        name: {
            "min_ms": round(min(values) * 1000, 2),
            "p50_ms": round(statistics.median(values) * 1000, 2),
            "p95_ms": round(statistics.quantiles(values, n=20)[18] * 1000, 2),
            "runs": len(values),
        }
        for name, values in samples.items()
    }


async def _main(runs: int) -> Samples:
    async with every_sandbox() as machine:
        return await measure(machine, runs)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    print(f"{'':42}{'min ms':>10}{'p50 ms':>10}{'p95 ms':>10}")
    for name, figures in summarise(asyncio.run(_main(arguments.runs))).items():
        print(f"{name:42}{figures['min_ms']:>10}{figures['p50_ms']:>10}{figures['p95_ms']:>10}")


if __name__ == "__main__":
    main()
