"""The coordinator under cProfile: `python -m bench.profiled_coordinator FILE ARGUMENTS…` writes FILE when it ends.

cProfile follows the main thread, where the event loop runs, and makes small Python functions look dearer than they
are. Use it to find what is wasteful, and the throughput part for how much that costs.
"""

from __future__ import annotations

import cProfile
import signal
import sys

from hypernode.coordinator.process import main

if __name__ == "__main__":
    path = sys.argv.pop(1)
    # uvicorn shuts down in order and then raises the signal again, which would end the process before it can write.
    signal.signal(signal.SIGTERM, lambda *_: None)
    profile = cProfile.Profile()
    try:
        code = profile.runcall(main)
    finally:
        profile.dump_stats(path)
    sys.exit(code)
