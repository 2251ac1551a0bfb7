"""`python -m bench.peers.drivers NAME FD`: drive a peer, as asked over the connection on that descriptor."""

from __future__ import annotations

import importlib
import sys
from multiprocessing.connection import Connection

from bench.peers.drivers.driver import serve


def main() -> None:
    """Find the driver by its name, and serve."""
    name, descriptor = sys.argv[1:]
    driver = importlib.import_module(f"bench.peers.drivers.{name}").Peer()
    serve(driver, Connection(int(descriptor)))


if __name__ == "__main__":
    main()
