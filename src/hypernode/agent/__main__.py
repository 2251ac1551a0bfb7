"""`python -m hypernode.agent`: the agent alone, without the command line's weight. Used by `node:start --detach`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from hypernode.agent import process
from hypernode.agent.agent import DRAIN_S
from hypernode.agent.home import Home


def main() -> int:
    """Run until stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hypernode.agent", description="Run a node's agent.")
    parser.add_argument(
        "--home", type=Path, help="the node's home (default: $HYPERNODE_HOME/node or ~/.hypernode/node)"
    )
    parser.add_argument("--drain", type=float, default=DRAIN_S, help="seconds to finish what runs when stopped")
    parser.add_argument("--ready-fd", type=int, help="descriptor to tell in one line of JSON that it is connected")
    arguments = parser.parse_args()

    def tell(ready: process.Ready) -> None:
        if arguments.ready_fd is not None:
            with os.fdopen(arguments.ready_fd, "wb") as pipe:
                try:
                    pipe.write(msgspec.json.encode(ready) + b"\n")
                    pipe.flush()
                except BrokenPipeError:
                    pass  # whoever waited has left

    home = Home(arguments.home)
    return process.run(home, to_terminal=sys.stderr.isatty(), tell=tell, drain_s=arguments.drain)


if __name__ == "__main__":
    sys.exit(main())
