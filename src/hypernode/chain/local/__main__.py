"""`python -m hypernode.chain.local SETTINGS`: the node's process. Settings come as JSON; `process.py` starts it."""

from __future__ import annotations

import argparse
import logging
import sys

from hypernode.chain.local.serve import run
from hypernode.chain.local.settings import Settings

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m hypernode.chain.local", description="Run a local chain.")
    parser.add_argument("settings", help="its settings, as JSON")
    parser.add_argument("--ready-fd", type=int, help="descriptor to tell in one line of JSON that it serves")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    sys.exit(run(Settings.from_json(arguments.settings), arguments.ready_fd))
