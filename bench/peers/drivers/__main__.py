"""`python -m bench.peers.drivers MODULE FD`: drive a peer, as asked over the connection on that descriptor."""

from __future__ import annotations

import importlib
import sys
from multiprocessing.connection import Connection

from bench.peers.drivers.driver import serve


def main() -> None:
    """Find the driver in its module, and serve."""
    module, descriptor = sys.argv[1:]
    driver = importlib.import_module(module).Peer()
    serve(driver, Connection(int(descriptor)))


if __name__ == "__main__":
    main()
