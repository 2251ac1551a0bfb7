"""One lease from its document to a signed result in the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hypernode.agent import plan
from hypernode.agent.backends import Backend
from hypernode.agent.cache import ArtifactCache
from hypernode.agent.egress.proxy import Proxy
from hypernode.agent.egress.reach import Reach
from hypernode.agent.environments import Environment, EnvironmentFailed
from hypernode.agent.home import Home
from hypernode.agent.journal import Finished, Journal
from hypernode.agent.logs import LogFile
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Image, ImageError, Login, Reason, Task
from hypernode.agent.sandboxes.base import Outcome as SandboxOutcome
from hypernode.agent.wasm.report import judge_run
from hypernode.images import references
from hypernode.jobs.model import ContainerRuntime, JobDocument, PythonRuntime, WasmRuntime
from hypernode.kernel import limits
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.receipt import NODE_CONTEXT, Outcome, ReceiptBody, Traffic, encode_body
from hypernode.protocol.messages import Lease

JOB_FAULTS: Final = {"environment.bad_lock", "environment.hash_mismatch", "environment.no_wheel"}
"""What is wrong with a lock itself and so would be on every node. An index that lacks a version may be this node's."""


class Environments(Protocol):
    """Where the Python of a job comes from; `environments.EnvironmentCache` is the real one."""

    def lease(self, lock: bytes | None) -> AbstractAsyncContextManager[Environment]:
        """An environment that stays for as long as the block runs. Raises EnvironmentFailed."""


class Tools(msgspec.Struct, frozen=True):
    """What attempts need of the node."""

    home: Home
    key: KeyPair
    environments: Environments
    cache: ArtifactCache
    journal: Journal


class Attempt:
    """The work on one lease. `run` once."""

    def __init__(
        self,
        tools: Tools,
        lease: Lease,
        document: JobDocument,
        backend: Backend,
        *,
        key: str,
        log_path: Path,
        on_started: Callable[[], None],
        on_log: Callable[[int], None],
    ) -> None:
        """`key` names its files, `log_path` is one of them. `on_started`: the job's process runs; `on_log`: its log has
        this many bytes now."""
        self._tools = tools
        self._message = lease
        self._document = document
        self._sandbox = backend.sandbox
        self._wasm = backend.wasm
        offer = backend.offer
        assert offer is not None, "no job runs in a sandbox that has not been probed"
        self._offer = offer
        self._on_started = on_started
        self._started_at_ms = 0
        self._broken: OSError | None = None
        self._traffic: Traffic | None = None
        self.key = key
        self._log = LogFile(log_path, on_log)

    async def run(self) -> tuple[Finished, ReceiptBody]:
        """Prepare, run, collect, sign, write down. The result (as signed, and as a struct) is on disk on return.

        Raises GiveBack for what is no result, and the errors `giving_back` knows. Cancelling it kills the task and
        leaves nothing but files of the log and the spool.
        """
        try:
            ended, verdict = await self._in_sandbox()
            for note in verdict.notes:
                self._log.note(note)
            await self._log.close()
        finally:
            self._log.discard()
        return await self._sign(ended, verdict)

    async def kill(self) -> None:
        """The client cancelled while it runs: `run` goes on to a result that says so."""
        await self._sandbox.kill(self.key, Reason.CANCELLED)

    async def _in_sandbox(self) -> tuple[SandboxOutcome, plan.Verdict]:
        sandbox = self._sandbox
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(limits.PREPARE_MS / 1000):
                task = await self._task(stack)
                stack.push_async_callback(sandbox.release, task.key)
                await sandbox.prepare(task)
                proxy = await self._open_proxy(stack) if task.egress else None
            ended = await sandbox.run(task, self._output, self._started)
            if proxy is not None:
                await proxy.close(flush=True)
                self._traffic = proxy.meter.traffic
            if self._broken is not None:
                raise self._broken
            collected = None
            if task.outputs and ended.reason not in (Reason.CANCELLED, Reason.INFRASTRUCTURE):
                collected = await sandbox.outputs(
                    task.key,
                    self._document.outputs,
                    spool_path(self._tools.home, self.key),
                    plan.collect_limits(self._document),
                )
            judge = judge_run if isinstance(self._document.runtime, WasmRuntime) else plan.judge
            verdict = judge(self._document, ended, collected)
            if proxy is not None and proxy.meter.used_up:
                note = f"the {proxy.meter.limit_bytes} bytes of egress_bytes were used up; connections were cut"
                verdict = msgspec.structs.replace(verdict, notes=(note, *verdict.notes))
            return ended, verdict

    async def _open_proxy(self, stack: AsyncExitStack) -> Proxy:
        """The way out of the prepared task, closed before the task is released."""
        network = self._document.network
        assert network is not None, "the task has egress"
        listening = await self._sandbox.listen(self.key)
        proxy = Proxy(listening, Reach(network.egress).connect, network.egress_bytes)
        stack.push_async_callback(proxy.close)
        return proxy

    async def _task(self, stack: AsyncExitStack) -> Task:
        """What to run, with everything it needs held until the stack unwinds."""
        lease, document = self._message.lease, self._document
        match document.runtime:
            case PythonRuntime() as python:
                environment, inputs = await self._fetch(stack, python)
                return plan.task(lease, document, inputs, environment)
            case WasmRuntime() as runtime:
                wasm = self._wasm
                assert wasm is not None, "the sandbox offers WebAssembly"
                inputs = await self._inputs(stack)
                sha256 = document.inputs[runtime.module].sha256
                compiled = await stack.enter_async_context(wasm.compiled(sha256, inputs[sha256]))
                return wasm.task(lease, document, runtime, inputs, compiled)
            case ContainerRuntime() as container:
                inputs = await self._inputs(stack)
                return plan.container_task(lease, document, inputs, await self._pull(stack, container))

    async def _pull(self, stack: AsyncExitStack, runtime: ContainerRuntime) -> Image:
        """The image of a container job."""
        images = self._sandbox.images
        assert images is not None, "the sandbox offers containers"
        registry = self._message.registry
        login = Login(registry.username, registry.password) if registry is not None else None
        try:
            pinned = references.parse(runtime.image).pinned
            return await stack.enter_async_context(images.hold(pinned, login))
        except ValueError as error:
            raise GiveBack("image.not_found", f"{error}; a node takes no tags", job_fault=True) from error
        except ImageError as error:
            raise GiveBack(error.code, str(error), job_fault=error.job_fault) from error

    async def _inputs(self, stack: AsyncExitStack) -> dict[str, Path]:
        """The files of the inputs by SHA-256, held until the stack unwinds."""
        artifacts = list(self._document.artifacts)
        if not artifacts:
            return {}
        return await stack.enter_async_context(self._tools.cache.hold(artifacts, self._message.lease))

    async def _fetch(self, stack: AsyncExitStack, runtime: PythonRuntime) -> tuple[Environment, dict[str, Path]]:
        """Inputs and environment of a Python job."""
        lock = None
        requirements = runtime.requirements
        if requirements is not None and requirements.size_bytes > limits.LOCK_BYTES:
            raise GiveBack("environment.bad_lock", f"a lock has at most {limits.LOCK_BYTES} bytes", job_fault=True)
        inputs = await self._inputs(stack)
        if requirements is not None:
            lock = await asyncio.to_thread(inputs[requirements.sha256].read_bytes)
        try:
            environment = await stack.enter_async_context(self._tools.environments.lease(lock))
        except EnvironmentFailed as error:
            raise GiveBack(error.code, str(error), job_fault=error.code in JOB_FAULTS) from error
        return environment, inputs

    def _output(self, stream: int, data: bytes) -> Awaitable[None] | None:
        """Keep what the job wrote. If the node's disk fails, the job is ended, not left to fill its pipe."""
        if self._broken is None:
            try:
                self._log.write(stream, data)
            except OSError as error:
                self._broken = error
                return self._sandbox.kill(self.key, Reason.INFRASTRUCTURE)
        return None

    def _started(self) -> None:
        self._started_at_ms = _now_ms()
        self._on_started()

    async def _sign(self, ended: SandboxOutcome, verdict: plan.Verdict) -> tuple[Finished, ReceiptBody]:
        body = self._body(ended, verdict)
        data = encode_body(body)
        if len(data) > limits.RECEIPT_BYTES:
            # Nobody could read the receipt: very many outputs with very long names.
            cut = plan.Verdict(Outcome.OUTPUT_LIMIT, verdict.exit_code, verdict.signal, (), fuel=verdict.fuel)
            body = self._body(ended, cut)
            data = encode_body(body)
        finished = Finished(self._message.lease, data, self._tools.key.sign(NODE_CONTEXT, data))
        await self._tools.journal.finish(finished)
        return finished, body

    def _body(self, ended: SandboxOutcome, verdict: plan.Verdict) -> ReceiptBody:
        sandbox = self._offer.name
        if isinstance(self._document.runtime, WasmRuntime) and self._wasm is not None:
            sandbox = f"{sandbox} {self._wasm.engine}"[:64]  # fuel is comparable under one engine
        return plan.receipt_body(
            self._message.lease,
            self._message.document,
            verdict,
            ended,
            node=self._tools.key.public,
            started_at_ms=self._started_at_ms,
            ended_at_ms=_now_ms(),
            log_bytes=self._log.size_bytes,
            log_root=self._log.root,
            sandbox=sandbox,
            isolation=self._offer.isolation,
            egress=self._traffic,
        )


def log_path(home: Home, key: str) -> Path:
    """The attempt's log file."""
    return home.logs / f"{key}.log"


def spool_path(home: Home, key: str) -> Path:
    """The folder of the attempt's collected outputs."""
    return home.spool / key


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
