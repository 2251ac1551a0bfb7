"""One ordinary network of two nodes for the session; one with short leases, for tests that kill and freeze."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.network import Net, left_over, settles
from hypernode.coordinator.local import LocalNetwork

LEASE_MS = 5000  # longer than the shortest outage that a starting coordinator bridges, with room for a busy machine
HEARTBEAT_MS = 500
GRACE_MS = 20_000  # longer than a node pauses between two tries to reconnect after the outages of these tests


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Where all networks live. When they have ended, nothing that belongs to them is left on the machine.

    Not below pytest's own folder: every other run of pytest on the machine takes the rights to pass through that away
    from the database's account.
    """
    folder = Path(tempfile.mkdtemp(prefix="hypernode-e2e-"))
    yield folder
    assert settles(lambda: left_over(folder)) == []
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def net(place: Path) -> Iterator[Net]:
    """Two nodes, for whatever breaks nothing."""
    with LocalNetwork(place / "shared", nodes=2) as network:
        net = Net(network)
        yield net
        net.check_ledger()
        net.end()


@pytest.fixture(scope="session")
def fragile_network(place: Path) -> Iterator[Net]:
    """Two nodes with leases of a few seconds. Take `fragile` instead, which is whole at the start of each test."""
    network = LocalNetwork(place / "fragile", nodes=2, lease_ms=LEASE_MS, heartbeat_ms=HEARTBEAT_MS, grace_ms=GRACE_MS)
    with network:
        net = Net(network)
        yield net
        net.repair()
        net.check_ledger()
        net.end()


@pytest.fixture
def fragile(fragile_network: Net) -> Iterator[Net]:
    """A network to hurt: whatever is dead or frozen at the end of a test is brought back."""
    yield fragile_network
    fragile_network.repair()
    fragile_network.check_ledger()
