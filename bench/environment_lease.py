"""How long it takes to have the Python environment of a lock that was installed before."""

from __future__ import annotations

import time
from typing import Final

from bench.machine import Machine
from bench.sandbox_start import WARM_UP, Samples
from hypernode.agent.environments import EnvironmentCache

LOCK: Final = (
    b"idna==3.20 --hash=sha256:ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c"
    b" --hash=sha256:a7db850025b95ded1eae8a46181a1a6c56c92c96f0e2b005d9ff8dc0210cab44\n"
)


async def measure(machine: Machine, runs: int) -> Samples:
    """Seconds to lease the environment of a cached lock, and of none, `runs` samples each."""
    samples: Samples = {"cached lock": [], "no lock": []}
    cache = EnvironmentCache(machine.folder / "environments", machine.interpreter, 1 << 30)
    for number in range(runs + WARM_UP):
        for name, lock in (("cached lock", LOCK), ("no lock", None)):
            start = time.perf_counter()
            async with cache.lease(lock):
                taken = time.perf_counter() - start
            if number >= WARM_UP:
                samples[name].append(taken)
    return samples
