"""The node agent: everything put together, from the first probe of the sandbox to the last refusal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Final

import msgspec

import hypernode
from hypernode.agent import available, capabilities, control, hardware, interpreter, trust
from hypernode.agent.attempt import Environments, Tools
from hypernode.agent.backends import Backend, Backends
from hypernode.agent.cache import ArtifactCache
from hypernode.agent.connection import Connection
from hypernode.agent.environments import EnvironmentCache
from hypernode.agent.executor import Executor
from hypernode.agent.home import Config, Home
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.journal import Journal, Totals
from hypernode.agent.leases import Leases
from hypernode.agent.outbox import Outbox
from hypernode.agent.remote import Remote
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.status import AgentState, Status
from hypernode.agent.wasm.host import WasmHost
from hypernode.kernel.errors import Malformed
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Capabilities
from hypernode.protocol.messages import (
    Cancel,
    CoordinatorMessage,
    Drain,
    Drop,
    Lease,
    LeaseRef,
    LogAck,
    ReportAck,
    Welcome,
)

log = logging.getLogger(__name__)

DRAIN_S: Final = 60.0
HAND_BACK_S: Final = 5.0
"""For killing what runs and sending the refusals, after the drain bound."""
PROBE_EVERY_S: Final = 24 * 3600.0


class _Stopped(Exception):
    """Ends the agent's tasks once it has nothing more to do."""


class Agent:
    """One node's agent. `run` once; it holds the home until it returns.

    `sandbox` and `environments` replace the real ones (a benchmark brings its own, which do nothing). Whoever calls
    `run` sets up logging and signals.
    """

    def __init__(
        self,
        home: Home,
        *,
        sandbox: Sandbox | None = None,
        environments: Environments | None = None,
        slots: int | None = None,
        drain_s: float = DRAIN_S,
        wasm: bool = True,
    ) -> None:
        """`slots` overrides the owner's policy; without `wasm` WebAssembly is neither tried nor offered."""
        self.home = home
        self._sandbox = sandbox
        self._environments = environments
        self._slots = slots
        self._drain_s = drain_s
        self._state = AgentState.STARTING
        self._stop_asked = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._capabilities: Capabilities | None = None
        self._connected_to: str | None = None
        self._last_error: str | None = None
        self.online = asyncio.Event()
        """Set while a coordinator has welcomed this node."""
        self.ended = asyncio.Event()
        """Set once `run` has ended, however it did."""
        self._outbox = Outbox()
        self._with_wasm = wasm

    async def run(self) -> None:
        """Serve until stopped.

        Raises HomeInUse, NotANode, HomeDamaged, JournalDamaged, SandboxError (nothing can run here) before anything
        was offered; ConnectionRefused when no coordinator wants this node; and whatever unexpected error a task of it
        met, after killing all jobs.
        """
        config = self.home.config()
        key = self.home.key()
        self.home.create()
        self._config, self._key = config, key
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.home.locked())
            await stack.enter_async_context(control.serve(self.home, self.status, self.stop))
            loop = asyncio.get_running_loop()
            broken: asyncio.Future[None] = loop.create_future()

            def journal_failed(error: BaseException) -> None:
                loop.call_soon_threadsafe(_fail, broken, error)

            python = await asyncio.to_thread(interpreter.prepare, self.home.store)
            if self._environments is None:
                cache_bytes = config.policy.cache_bytes
                self._environments = EnvironmentCache(self.home.environments, python, cache_bytes)
            backends = self._backends = Backends(await self._make_backends(config, python))
            try:
                with contextlib.closing(Journal(self.home.journal_file, journal_failed)) as journal:
                    self._journal = journal
                    await backends.reap()
                    await self._probe(config, python.version)
                    await self._serve(config, key, self._environments, broken)
            finally:
                await backends.close()
                self._state, self._connected_to = AgentState.STOPPED, None
                self.ended.set()

    def stop(self, now: bool = False) -> None:
        """Take nothing new, finish what runs within the drain bound (`now`: not even that), then end."""
        if now or self._stop_asked.is_set():
            self._stop_now.set()
        self._stop_asked.set()

    def status(self) -> Status:
        """As of now."""
        config = self._config
        ready = self._state not in (AgentState.STARTING, AgentState.STOPPED)
        return Status(
            key=self._key.public,
            name=config.name,
            project=config.project,
            state=self._state,
            pid=os.getpid(),
            connected_to=self._connected_to,
            last_error=self._last_error,
            capabilities=self._capabilities,
            ask=config.ask,
            leases=self._executor.views() if ready else [],
            totals=self._journal.totals if ready else Totals(),
            unsent=sum(view.phase in ("delivering", "reported") for view in self._executor.views()) if ready else 0,
        )

    # ── composition ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _make_backends(self, config: Config, python: Interpreter) -> list[Backend]:
        """The sandboxes to try, in order of preference."""
        if self._sandbox is None:
            return await available.Store(self.home.store, config.policy, python, wasm=self._with_wasm).backends()
        with_wasm = self._with_wasm
        wasm = WasmHost(self.home.wasm, python, self._sandbox, config.policy.cache_bytes) if with_wasm else None
        return [Backend("sandbox", self._sandbox, wasm, egress=python if config.policy.egress else None)]

    async def _probe(self, config: Config, python: str) -> None:
        sandboxes = await self._backends.probe()
        machine = await asyncio.to_thread(hardware.detect, self.home.store)
        offered = capabilities.offer(machine, config, sandboxes, python)
        if self._slots is not None:
            offered = msgspec.structs.replace(offered, slots=self._slots)
        self._capabilities = offered
        self._python = python

    async def _serve(
        self, config: Config, key: KeyPair, environments: Environments, broken: asyncio.Future[None]
    ) -> None:
        assert self._capabilities is not None
        for address in config.addresses:
            trust.parse_address(address, pinned=config.pinned, insecure_http=config.insecure_http)
        secure = any(address.startswith("https://") for address in config.addresses)
        tls = trust.client_context(self.home.certificate_file if config.pinned else None) if secure else None
        remote = Remote(config.addresses, key, tls=tls)
        cache = ArtifactCache(self.home.artifacts, config.policy.cache_bytes, remote)
        tools = Tools(self.home, key, environments, cache, self._journal)
        self._leases = Leases(self._capabilities)
        self._remote = remote
        connection = Connection(
            config.addresses, key, config.ask, self, self._outbox, tls=tls, agent_version=hypernode.__version__
        )
        try:
            async with asyncio.TaskGroup() as group:
                self._executor = Executor(tools, self._leases, self._outbox, remote, group, self._backends)
                self._state = AgentState.CONNECTING
                self._executor.recover(self._journal.recovered.interrupted, self._journal.recovered.finished)
                group.create_task(_wait(broken))
                group.create_task(connection.run(), name="connection")
                group.create_task(self._probe_daily(config), name="probe")
                group.create_task(self._end(), name="end")
        except BaseExceptionGroup as errors:
            cause = _cause(errors)
            if not isinstance(cause, _Stopped):
                raise cause from errors
        finally:
            self.online.clear()
            await remote.close()

    async def _end(self) -> None:
        """Wait to be stopped, drain, hand back, and end the group."""
        await self._stop_asked.wait()
        log.info("stopping: %d leases held", len(self._leases))
        self._state = AgentState.DRAINING
        self._executor.draining = True
        if self.online.is_set():
            self._outbox.put(Drain())
        stop_now = asyncio.create_task(self._stop_now.wait())
        idle = asyncio.create_task(self._until(self._nothing_to_wait_for))
        await asyncio.wait({stop_now, idle}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        stop_now.cancel()
        idle.cancel()
        self._executor.hand_back()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until(lambda: self._executor.quiet), HAND_BACK_S)
        log.info("stopped: %d results still to be delivered", len(self._leases))
        raise _Stopped

    def _nothing_to_wait_for(self) -> bool:
        """Everything is over, or what is left is in the journal and nobody is there to take it."""
        return not len(self._leases) or (self._executor.quiet and not self.online.is_set())

    async def _until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of the leases."""
        while not true():
            self._executor.changed.clear()
            await self._executor.changed.wait()

    async def _probe_daily(self, config: Config) -> None:
        """What was proved once need not hold for ever: kernels and cgroups change under a running agent."""
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            await self._until(lambda: not self._leases.busy())
            await self._probe(config, self._python)
            assert self._capabilities is not None
            self._leases.offer(self._capabilities)

    # ── what the connection asks and tells (connection.Party) ───────────────────────────────────────────────────────

    def capabilities(self) -> Capabilities:
        """See Party."""
        assert self._capabilities is not None
        return self._capabilities

    def draining(self) -> bool:
        """See Party."""
        return self._executor.draining

    def holds(self) -> tuple[LeaseRef, ...]:
        """See Party."""
        return self._leases.holds()

    def running(self) -> tuple[LeaseRef, ...]:
        """See Party."""
        return self._leases.running()

    def connected(self, address: str, welcome: Welcome) -> None:
        """See Party."""
        self._remote.prefer(address)
        self._connected_to, self._last_error = address, None
        if self._state is AgentState.CONNECTING:
            self._state = AgentState.ONLINE
        self.online.set()
        self._executor.connected(welcome.drop)

    def disconnected(self, reason: str) -> None:
        """See Party."""
        self._connected_to, self._last_error = None, reason
        if self._state is AgentState.ONLINE:
            self._state = AgentState.CONNECTING
        self.online.clear()
        self._executor.disconnected()

    def receive(self, message: CoordinatorMessage) -> None:
        """See Party."""
        match message:
            case Lease():
                self._executor.take(message)
            case Cancel():
                self._executor.cancel(message.lease)
            case Drop():
                self._executor.drop(message.lease, message.code)
            case LogAck():
                self._executor.log_ack(message)
            case ReportAck():
                self._executor.report_ack(message)
            case _:
                raise Malformed(f"{type(message).__name__} in the middle of a connection")


async def _wait(future: asyncio.Future[None]) -> None:
    await future


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that is not the ordinary end."""
    errors: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            errors.append(error)
    return next((error for error in errors if not isinstance(error, _Stopped)), errors[0])
