"""Images from real registries, unpacked and kept in a folder of the test."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.images.reach import Reach
from registries import (
    Registry,
)


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("images run in the full sandbox, which needs Linux and root")


@pytest.fixture(autouse=True)
def insecure(registries_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries_conf))


@pytest.fixture(scope="module")
def reach(registry: Registry, locked_registry: Registry, token_registry: Registry) -> Reach:
    return Reach(f"http://{each.address}" for each in (registry, locked_registry, token_registry))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def images(store: Path, reach: Reach) -> UnpackedImages:
    return UnpackedImages(store, 1 << 30, reach=reach)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def sandbox(tmp_path: Path, interpreter: Interpreter, images: UnpackedImages) -> AsyncIterator[BubblewrapSandbox]:
    sandbox = BubblewrapSandbox(tmp_path / "home", interpreter, images=images)
    try:
        yield sandbox
    finally:
        await sandbox.close()
