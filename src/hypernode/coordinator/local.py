"""A whole network on one machine, for work, for the demonstration and for tests: an embedded database, a coordinator
and some nodes, each a process of its own, talking to each other as they would across the world."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from hypernode.agent.process import Ready as NodeReady
from hypernode.client import Client
from hypernode.coordinator.admin import Admin, administer
from hypernode.coordinator.process import Ready
from hypernode.files import write_private
from hypernode.kernel.errors import BY_CODE, Conflict, HypernodeError, Problem, Unauthenticated, Unavailable, error_of
from hypernode.kernel.money import MICRO_PER_HYPER
from hypernode.ledger.model import LedgerSummary

CLIENT_PROJECT: Final = "local"
OPERATOR_PROJECT: Final = "operators"
FUNDS: Final = 10_000 * MICRO_PER_HYPER
READY_S: Final = 120.0
STOP_S: Final = 30.0
REGISTRIES: Final = ("http://127.0.0.1:*", "http://[::1]:*", "http://localhost:*")
"""Image registries of one's own machine; who uses this network is at home there anyway."""
_PR_SET_PDEATHSIG: Final = 1


class Keys(msgspec.Struct):
    """API keys of a local network's two projects."""

    client: str
    operator: str


class LocalNetwork:
    """Start with `with`; at its end nothing is left running. The folder keeps jobs, money and nodes for the next time.

    `client_key` belongs to a project with money, `operator_key` to the one the nodes earn for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        port: int = 0,
        lease_ms: int | None = None,
        heartbeat_ms: int | None = None,
        grace_ms: int | None = None,
        node_arguments: Sequence[str] = (),
    ) -> None:
        self.folder: Final = folder.absolute()
        self.data: Final = self.folder / "coordinator"
        self.url = ""
        self.coordinator_key = ""
        self.postmaster_pid: int | None = None
        self.client_key = ""
        self.operator_key = ""
        self.coordinator: subprocess.Popen[bytes] | None = None
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._count = nodes
        self._port = port
        self._timing = {"--lease-ms": lease_ms, "--heartbeat-ms": heartbeat_ms, "--grace-ms": grace_ms}
        self._node_arguments = tuple(node_arguments)

    def __enter__(self) -> Self:
        try:
            self.start_coordinator()
            asyncio.run(self._prepare_projects())
            for number in range(1, self._count + 1):
                self.start_node(f"node-{number}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ── coordinator ─────────────────────────────────────────────────────────────────────────────────────────────────

    def start_coordinator(self) -> None:
        """Start the coordinator and wait until it serves. Started again, it has the same address."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "hypernode.coordinator", "--data", str(self.data), "--plain"]
        command += ["--port", str(self._port), *(text for name in REGISTRIES for text in ("--registry", name))]
        command += [text for name, value in self._timing.items() if value is not None for text in (name, str(value))]
        self.coordinator, line = _start(command, self.folder / "coordinator.log")
        ready = _decode(line, Ready, self.coordinator, self.folder / "coordinator.log")
        self.url, self.coordinator_key, self.postmaster_pid = ready.url, ready.coordinator_key, ready.postmaster_pid
        self._port = int(ready.url.rsplit(":", 1)[1])

    async def _prepare_projects(self) -> None:
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(administer(self.data))
            for project in (CLIENT_PROJECT, OPERATOR_PROJECT):
                try:
                    await admin.create_project(project)
                except Conflict:
                    continue  # this is not the first time
                if project == CLIENT_PROJECT:
                    await admin.deposit(project, FUNDS)
            keys = await self._keys(admin)
        self.client_key, self.operator_key = keys.client, keys.operator

    async def _keys(self, admin: Admin) -> Keys:
        path = self.folder / "keys.json"
        if path.exists():
            keys = msgspec.json.decode(path.read_bytes(), type=Keys)
            try:
                for key in (keys.client, keys.operator):
                    with Client(self.url, key) as client:
                        client.whoami()
            except Unauthenticated:
                pass  # revoked, or of a folder that was made anew
            else:
                return keys
        keys = Keys(await admin.create_key(CLIENT_PROJECT, "local"), await admin.create_key(OPERATOR_PROJECT, "local"))
        write_private(path, msgspec.json.encode(keys))
        return keys

    def ledger_summary(self) -> LedgerSummary:
        """The whole ledger in sums, read as the local admin may."""

        async def read() -> LedgerSummary:
            async with administer(self.data) as admin:
                return await admin.ledger()

        return asyncio.run(read())

    def isolation(self) -> int | None:
        """The isolation that a Python job may ask for and still run on each of its nodes; None without such nodes."""
        with Client(self.url, self.client_key) as client:
            offers = [node.capabilities.sandboxes for node in client.nodes() if node.capabilities is not None]
        levels = [[one.isolation for one in sandboxes if "python" in one.runtimes] for sandboxes in offers]
        return min((max(found) for found in levels if found), default=None)

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def node_home(self, name: str) -> Path:
        """The home of one of the nodes."""
        return self.folder / "nodes" / name

    def start_node(self, name: str) -> None:
        """Start a node, enrolling it the first time, and wait until it is connected."""
        home = self.node_home(name)
        if not (home / "config.json").exists():
            with Client(self.url, self.operator_key) as operator:
                token = operator.join_token().token
            init = [sys.executable, "-P", "-m", "hypernode", "node:init", token, "--home", str(home), "--name", name]
            done = subprocess.run(
                [
                    *init,
                    *(text for place in REGISTRIES for text in ("--registry", place)),
                    *self._node_arguments,
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise Unavailable(f"{name} could not be enrolled: {done.stderr.strip() or done.stdout.strip()}")
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-P", "-m", "hypernode.agent", "--home", str(home)]
        process, line = _start(command, log)
        self.nodes[name] = process
        _decode(line, NodeReady, process, log)

    def stop_node(self, name: str) -> None:
        """End a node in order; its home stays, for `start_node`."""
        _stop([self.nodes.pop(name)])

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """End everything in order: nodes first, so that they can say goodbye. May be called twice."""
        _stop(list(self.nodes.values()))
        self.nodes.clear()
        if self.coordinator is not None:
            _stop([self.coordinator])
            self.coordinator = None


def _start(command: list[str], log: Path) -> tuple[subprocess.Popen[bytes], bytes]:
    """Start a process and wait for its line on a descriptor of its own: it is ready, or says why not."""
    reader, writer = os.pipe()
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--ready-fd", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,  # Ctrl-C is for whoever started the network; it stops the rest in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        line = _read_line(pipe, READY_S)
    return process, line


def _read_line(pipe: IO[bytes], wait_s: float) -> bytes:
    until = time.monotonic() + wait_s
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(pipe.fileno(), 65536) if readable else b""
        if not piece:
            break
        line += piece
    return line


def _decode(line: bytes, kind: type[Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    if not line:
        _stop([process])
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Unavailable(f"a process did not become ready; its log {log} ends with\n{tail}")
    ready = msgspec.json.decode(line, type=kind)
    if ready.code:
        _stop([process])
        raise _error(ready.code, ready.detail)
    return ready


def _error(code: str, detail: str) -> HypernodeError:
    if code not in BY_CODE:
        return Unavailable(f"{detail} [{code}]")  # the agent's own codes, such as those of its sandbox
    return error_of(Problem(type="", title="", status=503, code=code, detail=detail))


def _die_with_parent() -> None:
    # Whoever is killed outright takes its network along: SIGTERM, so that the children still end in order.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
