"""How long a job takes to start: `true` in the sandbox beside plain fork and exec, taken in turns so that noise is
shared.

    python bench/sandbox_start.py [--runs 30] [--json PATH]

`whole` is prepare, run and release; `run` is what the job is billed for; `plain` is the same program without a sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from hypernode.agent import interpreter
from hypernode.agent.sandboxes.base import Limits, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox

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


async def once(sandbox: BubblewrapSandbox, python: interpreter.Interpreter, key: str, kind: str) -> dict[str, float]:
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


async def measure(runs: int) -> Samples:
    """Seconds per step and kind, `runs` samples each."""
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as folder:
        python = interpreter.prepare(Path(folder))
        sandbox = BubblewrapSandbox(Path(folder) / "home", python)
        try:
            for number in range(runs + WARM_UP):
                taken: dict[str, float] = {}
                start = time.perf_counter()
                subprocess.run(["/usr/bin/true"], check=True)  # noqa: ASYNC221 - blocking is what is compared
                taken["plain: fork + exec"] = time.perf_counter() - start
                for kind in ("true", "with /out", "python"):
                    taken.update(await once(sandbox, python, f"bench-{number}", kind))
                if number >= WARM_UP:
                    for name, seconds in taken.items():
                        samples.setdefault(name, []).append(seconds)
        finally:
            await sandbox.close()
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


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = summarise(asyncio.run(measure(arguments.runs)))
    print(f"{'':28}{'min ms':>10}{'p50 ms':>10}{'p95 ms':>10}")
    for name, figures in result.items():
        print(f"{name:28}{figures['min_ms']:>10}{figures['p50_ms']:>10}{figures['p95_ms']:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
