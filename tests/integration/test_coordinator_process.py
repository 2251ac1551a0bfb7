"""The coordinator as a process: how it starts, says so, and ends without leaving anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from hypernode.coordinator.process import Ready


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def start(data: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Ready]:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "hypernode.coordinator", "--data", str(data), "--plain", *arguments]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writer)],
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        return process, msgspec.json.decode(pipe.readline(), type=Ready)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_it_stops_its_database(data: Path, number: signal.Signals) -> None:
    process, ready = start(data)
    assert ready.postmaster_pid is not None
    postmaster = psutil.Process(ready.postmaster_pid)
    process.send_signal(number)
    assert process.wait(30) == 0
    assert not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE


def test_a_port_in_use_is_said_at_once(data: Path, tmp_path: Path) -> None:
    process, ready = start(data)
    try:
        port = ready.url.rsplit(":", 1)[1]
        second, refused = start(tmp_path / "other", "--port", port)
        assert refused.code == "input.invalid"
        assert "cannot listen" in refused.detail and "--port" in refused.detail
        assert second.wait(30) == 1
    finally:
        process.terminate()
        assert process.wait(30) == 0
