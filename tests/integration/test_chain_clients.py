"""Standard clients, unmodified, each in a process and an environment of its own, against the local chain."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings
from integration.chain_fixtures import local_chain

CLIENTS = Path(__file__).parents[1] / "clients"
IDL = CLIENTS / "idl" / "token.json"
PATIENCE_S = 90


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    if not (CLIENTS / ".installed").exists():
        if os.environ.get("CI"):
            pytest.fail("the clients are not installed; tools/setup.sh tests says why")
        pytest.skip("the clients are not installed: tools/setup.sh tests")
    with local_chain(Settings(port=0, slot_ms=50, finality_slots=8)) as running:
        yield running


@pytest.mark.parametrize("name", ["web3", "kit", "anchor"])
def test_typescript(chain: LocalChain, name: str) -> None:
    run(["node", f"{name}.js", chain.url, chain.websocket_url, str(IDL)], CLIENTS / "typescript")


def test_solana_py(chain: LocalChain) -> None:
    folder = CLIENTS / "python"
    run([str(folder / ".venv" / "bin" / "python"), "client.py", chain.url, chain.websocket_url], folder)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
