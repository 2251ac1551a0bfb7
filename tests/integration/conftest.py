"""What tests talk to: a coordinator for those of its API and its protocol, and local chains."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from fakes.network import Network, network
from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings
from integration.chain_fixtures import Caller, local_chain


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


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    """Slots on demand: each transaction is final at once."""
    with local_chain(Settings(port=0, slot_ms=0)) as running:
        yield running


@pytest.fixture
def rpc(chain: LocalChain) -> Caller:
    return Caller(chain.url)


@pytest.fixture(scope="module")
def ticking() -> Iterator[LocalChain]:
    """Slots by the clock, so long that tests decide when the next one comes."""
    with local_chain(Settings(port=0, slot_ms=60_000, finality_slots=4)) as running:
        yield running


@pytest.fixture
def slow(ticking: LocalChain) -> Caller:
    return Caller(ticking.url)
