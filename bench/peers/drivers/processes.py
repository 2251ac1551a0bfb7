"""Processes that a peer needs beside its driver: workers, and Redis."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from bench.peers.drivers.driver import FOLDER

SOCKET = FOLDER / "redis.sock"
STOP_S = 10.0
START_S = 20.0
_PR_SET_PDEATHSIG = 1


class Processes:
    """Child processes that end with this one, in order if there is time."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        """Start one; what it prints goes where this process's output goes."""
        self._running.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent)
        )

    def start_module(self, module: str, *arguments: str) -> None:
        """Start `python -m module …` in this environment."""
        self.start(sys.executable, "-m", module, *arguments)

    def stop(self) -> None:
        """End them, last first."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def start_redis(processes: Processes) -> None:
    """Start a Redis with its default settings (snapshots, no append-only file); return when it answers on `SOCKET`."""
    program = _redis_program()
    processes.start(program, "--port", "0", "--unixsocket", str(SOCKET), "--dir", str(FOLDER), "--loglevel", "warning")
    until = time.monotonic() + START_S
    while not _answers():
        if time.monotonic() > until:
            raise TimeoutError(f"redis-server takes no connections on {SOCKET}")
        time.sleep(0.02)


def redis_version() -> str:
    """As `redis-server --version` says."""
    said = subprocess.run([_redis_program(), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", said)
    return "Redis " + (found[1] if found else "of unknown version")


def _redis_program() -> str:
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is not installed; as root: apt-get install redis-server")
    return program


def _answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(SOCKET))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
