"""The coordinator that tests of its API and of its protocol talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fakes.network import Network, network


@pytest.fixture
async def net(database: str, tmp_path: Path) -> AsyncIterator[Network]:
    """A coordinator in this process, with its projects and keys."""
    async with network(database, tmp_path / "coordinator") as net:
        await net.prepare()
        yield net


@pytest.fixture
def http(net: Network) -> httpx.AsyncClient:
    """The client project."""
    return net.http()


@pytest.fixture
def other(net: Network) -> httpx.AsyncClient:
    """A project that has nothing to do with the client's."""
    return net.http("other")
