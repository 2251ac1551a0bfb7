"""The coordinator, sampled: `python -m bench.profiled_coordinator FILE ARGUMENTS…` writes FILE when it ends.

It looks from SIGUSR1 on, so that starting is left out. The kernel's profiling timer counts the process's CPU time, so
waiting is not seen, and what a call into C took is found in the Python function that made it. A look costs some
microseconds, a few hundred times a second at most: figures are those of the unprofiled coordinator within a per cent
or two.
"""

from __future__ import annotations

import signal
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

import hypernode
from hypernode.coordinator.process import main

INTERVAL_S: Final = 0.002
_OURS: Final = str(Path(hypernode.__file__).parent.parent) + "/"
_BENCH: Final = str(Path(__file__).parents[1]) + "/"
_STANDARD: Final = sysconfig.get_path("stdlib") + "/"


class Sampler:
    """Counts stacks, outermost function first."""

    def __init__(self) -> None:
        self._stacks: Counter[tuple[str, ...]] = Counter()

    def start(self, *_: object) -> None:
        """Look every INTERVAL_S of CPU time, or as often as the kernel's tick allows."""
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self, path: Path) -> None:
        """Write what was seen: pairs of a stack and how often."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_bytes(msgspec.json.encode(list(self._stacks.items())))

    def _look(self, _: int, frame: FrameType | None) -> None:
        names: list[str] = []
        while frame is not None:
            names.append(_name(frame))
            frame = frame.f_back
        self._stacks[tuple(reversed(names))] += 1


def _name(frame: FrameType) -> str:
    """As in `hypernode/db/batch.py Batcher._deliver`."""
    path = frame.f_code.co_filename.removeprefix(_OURS).removeprefix(_BENCH).removeprefix(_STANDARD)
    _, _, package = path.rpartition("site-packages/")
    return f"{package if package else path} {frame.f_code.co_qualname}"


if __name__ == "__main__":
    into = Path(sys.argv.pop(1))
    # uvicorn shuts down in order and then raises the signal again, which would end the process before it can write.
    signal.signal(signal.SIGTERM, lambda *_: None)
    sampler = Sampler()
    signal.signal(signal.SIGUSR1, sampler.start)
    try:
        code = main()
    finally:
        sampler.stop(into)
    sys.exit(code)
