"""The guide of the local chain, as a newcomer follows it: its command, its program, and what that prints."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.chain_fixtures import HOME, Caller

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "local-chain.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
PATIENCE_S = 90


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """The guide's command, on free ports, with what it says on stdout."""
    command = [sys.executable, "-P", "-m", "hypernode", "chain:local", "--port", "0", "--json", *options]
    environment = {**os.environ, "HYPERNODE_HOME": str(HOME)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a developer's own files, some of which have names of Python's."""
    for name in ("secrets", "queue", "solders", "uvicorn"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the folder was imported')\n")
    return tmp_path


def test_the_job_of_the_guide_and_again_after_a_crash(folder: Path) -> None:
    (program,) = [text for text in PROGRAMS if "asyncio.run" in text]
    (printed,) = re.findall(r"```\n(price .*?)```", GUIDE, re.DOTALL)
    options = ["--network", "network.json", "--ledger", "ledger", "--slot-ms", "50"]
    said: list[dict[str, str]] = []
    for _ in range(2):
        with running(folder, *options) as (where, process):
            said.append(where)
            text = program.replace("http://127.0.0.1:8899", where["url"])
            done = subprocess.run(
                [sys.executable, "-P", "-c", text], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S,
                check=False,
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (0, printed), done.stderr
            process.send_signal(signal.SIGKILL)
    assert said[0]["genesis"] == said[1]["genesis"]


def test_what_the_guide_says_of_methods_is_so(folder: Path) -> None:
    named = set(re.findall(r"`(get\w+|is\w+|\w+Transaction|requestAirdrop|minimumLedgerSlot)`", GUIDE))
    assert len(named) > 30
    with running(folder, "--slot-ms", "0") as (where, _):
        assert where["websocket_url"].startswith("ws://127.0.0.1:")
        rpc = Caller(where["url"])
        for name in named:
            answer = rpc.http.post("/", json={"jsonrpc": "2.0", "id": 1, "method": name, "params": []}).json()
            assert "result" in answer or answer["error"]["code"] == -32602, (name, answer)
        assert rpc("hypernode_warp", {"slots": 150, "seconds": 604800})["slot"] > 150


def test_every_program_of_the_guide_is_one() -> None:
    assert len(PROGRAMS) == 3
    for text in PROGRAMS:
        compile(text, "local-chain.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
