"""Real container engines for tests, each in a folder of its own, which leave this host as they found it.

Loaded by `conftest.py`: the fixtures `docker_engine` and `podman_engine` start theirs once a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypernode.agent.sandboxes.base import SandboxError
from hypernode.agent.sandboxes.engine.find import Engine, look

START_S = 30.0
STOP_S = 20.0

DOCKERD = (
    *("dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    # Names of its own, where the host's containerd is running: its containers are not ours to see.
    *("--containerd-namespace=hypernode-tests", "--containerd-plugins-namespace=hypernode-tests-plugins"),
    *("--exec-opt", "native.cgroupdriver=cgroupfs"),
)
# gVisor of 2022 takes the network of a container on a newer kernel for the host's.
DOCKER_RUNTIMES = {"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none"]}}}


class RunningEngine:
    """An engine in a folder of its own. `start` and `stop` may alternate; `remove` takes the folder away."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix=f"hypernode-{kind}-"))
        self.socket = self.folder / "engine.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._found: list[Engine] = []

    def start(self) -> None:
        """Start it and wait until it answers. Not from within an event loop."""
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,  # conmon leaves a file there
                start_new_session=True,
            )
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(SandboxError):
                self._found = asyncio.run(look(self.socket))
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.kind} does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def engine(self, runtime: str) -> Engine:
        """It, with one of its runtimes."""
        return next(engine for engine in self._found if engine.runtime == runtime)

    def kill(self) -> None:
        """End it as a crash does: at once, and without its containers."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        for pid, line in self._all():
            if line.startswith("containerd "):  # Docker's other half
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        # Where nobody reaps it, it would pass for running.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it in order. Idempotent."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def remove(self) -> None:
        """Stop it; nothing of it is left."""
        self.stop()
        for pid, _ in self._all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            place = line.split()[4]
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[tuple[int, str]]:
        """What it started beside its containers and is still there: number and command line."""
        own = self._process.pid if self._process is not None else 0
        return [(pid, line) for pid, line in self._all() if pid != own and not line.startswith("containerd ")]

    def _all(self) -> list[tuple[int, str]]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if f"{self.folder}/" in line:
                        found.append((int(name), line))
        return found

    def _command(self) -> list[str]:
        folder = self.folder
        if self.kind == "docker":
            (folder / "daemon.json").write_text(json.dumps(DOCKER_RUNTIMES))
            places = ["--config-file", f"{folder}/daemon.json", "--pidfile", f"{folder}/pid"]
            places += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H", f"unix://{self.socket}"]
            return [*DOCKERD, *places]
        options = ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"]
        places = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
        return ["podman", *places, *options, "system", "service", "--time=0", f"unix://{self.socket}"]


@contextlib.contextmanager
def running(kind: str) -> Iterator[RunningEngine]:
    """An engine for as long as the block lasts."""
    engine = RunningEngine(kind)
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[RunningEngine]:
    """Docker, with runc and gVisor (`runsc`)."""
    with running("docker") as engine:
        yield engine


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[RunningEngine]:
    """Podman with runc: its crun refuses hosts with both versions of cgroups."""
    with running("podman") as engine:
        yield engine
