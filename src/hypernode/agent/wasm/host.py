"""WebAssembly on this node: its site, its compiled modules, the tasks that run them, and the proof that it works."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent import plan
from hypernode.agent.collect import CollectLimits
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Failure, Limits, Mount, Sandbox, SandboxError, Task
from hypernode.agent.wasm import report, selftest, site
from hypernode.agent.wasm.modules import CompiledModules
from hypernode.agent.wasm.site import Site, WasmUnavailable
from hypernode.jobs.model import JobDocument, WasmRuntime
from hypernode.kernel import limits
from hypernode.protocol.messages import LeaseRef

log = logging.getLogger(__name__)

MODULE: Final = "/opt/module/module.wasm"
COMPILED: Final = "/opt/module/module.cwasm"
HOST_BYTES: Final = 128 * limits.MIB
"""Memory of the interpreter and of wasmtime, beside the module's own: the node's expense, not the job's."""
TMP_BYTES: Final = limits.MIB
"""/tmp, which the module cannot see."""
COMPILING: Final = Limits(
    cpu_milli=1000,
    memory_bytes=limits.GIB,
    processes=64,
    tmp_bytes=TMP_BYTES,
    disk_bytes=512 * limits.MIB,
    files=64,
    log_bytes=64 * limits.KIB,
    wall_ms=300_000,
)
"""What compiling one module may use. It runs none of it, but its input is a stranger's."""


class WasmHost:
    """The node's WebAssembly runtime. `probe` first; nothing else is of use unless `proved`."""

    def __init__(self, folder: Path, interpreter: Interpreter, sandbox: Sandbox, cache_bytes: int) -> None:
        """`folder` is this class's alone. Touches nothing yet."""
        self._folder = folder
        self._interpreter = interpreter
        self._sandbox = sandbox
        self._cache_bytes = cache_bytes
        self._site: Site | None = None
        self._modules: CompiledModules | None = None
        self._compiling = asyncio.Semaphore(1)
        self.proved = False
        """Whether a module was seen to run here, and to be stopped at its limits."""

    @property
    def engine(self) -> str:
        """Name and version of the engine, as in `wasmtime/50.0.1`; empty before `probe`."""
        return self._site.engine if self._site is not None else ""

    async def make(self) -> Failure | None:
        """Make what sandboxes need, once; why that is impossible, or None. Takes a second, and no sandbox."""
        if self._site is not None:
            return None
        try:
            made = await asyncio.to_thread(site.make, self._folder, self._interpreter)
            cache = self._folder / "compiled"
            self._modules = CompiledModules(cache, self._cache_bytes, made.tag, self._compile)
        except (WasmUnavailable, OSError) as error:
            return Failure("wasm", str(error))
        self._site = made
        return None

    async def probe(self) -> Failure | None:
        """Run a module that tests its limits; what failed, or None if WebAssembly can be offered."""
        self.proved = False
        if (failure := await self.make()) is not None:
            return failure
        try:
            await selftest.prove(self, self._sandbox, self._folder)
        except (GiveBack, SandboxError, OSError) as error:
            return Failure("wasm", f"report this as a bug: {error}")
        self.proved = True
        return None

    @asynccontextmanager
    async def compiled(self, sha256: str, module: Path) -> AsyncIterator[Path]:
        """A module's compiled form for as long as the block runs.

        Raises GiveBack: `wasm.bad_module` (the job's fault), `wasm.compile_failed`; and SandboxError.
        """
        assert self._modules is not None, "probe comes first"
        async with self._modules.hold(sha256, module) as path:
            yield path

    def task(
        self,
        lease: LeaseRef,
        document: JobDocument,
        runtime: WasmRuntime,
        inputs: Mapping[str, Path],
        compiled: Path,
    ) -> Task:
        """What to run for a WebAssembly job. `inputs` are files of the node by SHA-256."""
        variables = dict(document.environment)
        if document.array is not None:
            # The only variables of the network's own: all others differ between runs of the same work.
            variables["HYPERNODE_ARRAY_SIZE"] = str(document.array.size)
            variables[document.array.index_variable] = str(lease.task)
        return self.run_task(
            plan.lease_key(lease),
            compiled,
            (runtime.module.rsplit("/", 1)[-1], *runtime.arguments),
            fuel=runtime.fuel,
            seed=runtime.seed,
            task=lease.task,
            variables=variables,
            mounts=plan.input_mounts(document, inputs),
            outputs=bool(document.outputs),
            bounds=plan.task_limits(document),
        )

    def run_task(
        self,
        key: str,
        compiled: Path,
        arguments: tuple[str, ...],
        *,
        bounds: Limits,
        fuel: int | None = None,
        seed: int | None = None,
        task: int = 0,
        variables: Mapping[str, str] | None = None,
        mounts: tuple[Mount, ...] = (),
        outputs: bool = False,
    ) -> Task:
        """Run a compiled module. `bounds.memory_bytes` bounds its linear memory; the sandbox gets more."""
        pairs = [f"{name}={value}" for name, value in (variables or {}).items()]
        settings = {
            "fuel": fuel if fuel is not None else limits.WASM_FUEL,
            "seed": seed,
            "task": task,
            "memory_bytes": bounds.memory_bytes,
            "inputs": bool(mounts),
            "outputs": outputs,
            "variables": len(pairs),
        }
        memory = bounds.memory_bytes + HOST_BYTES
        addresses = 2 * (bounds.memory_bytes + HOST_BYTES)  # see `runner.engine`
        return self._task(
            key,
            ("run", COMPILED, json.dumps(settings), *pairs, *arguments),
            (Mount(compiled, COMPILED), *mounts),
            msgspec.structs.replace(bounds, memory_bytes=memory, tmp_bytes=TMP_BYTES, address_bytes=addresses),
            outputs,
        )

    async def _compile(self, key: str, module: Path, folder: Path) -> tuple[str, Path]:
        """See `modules.Compile`. One at a time: it is not the owner's promise to any job."""
        task = self._task(
            key, ("compile", MODULE, "/out/module.cwasm"), (Mount(module, MODULE),), COMPILING, outputs=True
        )
        async with self._compiling:
            try:
                await self._sandbox.prepare(task)
                ended = await self._sandbox.run(task, lambda stream, data: None)
                said = report.compiled(ended)
                if said.bad_module:
                    raise GiveBack("wasm.bad_module", said.bad_module, job_fault=True)
                collected = await self._sandbox.outputs(
                    key, ("module.cwasm",), folder, CollectLimits(files=1, total_bytes=COMPILING.disk_bytes)
                )
            finally:
                await self._sandbox.release(key)
        if len(collected.accepted) != 1:
            raise GiveBack("wasm.compile_failed", "the compiled module is larger than it may be")
        digest = collected.accepted[0].sha256
        return digest, folder / digest

    def _task(
        self, key: str, arguments: tuple[str, ...], mounts: tuple[Mount, ...], bounds: Limits, outputs: bool
    ) -> Task:
        assert self._site is not None, "probe comes first"
        return Task(
            key=key,
            argv=(*self._site.argv, *arguments),
            environment=self._site.environment,
            working_folder="/out" if outputs else "/tmp",
            mounts=(*self._site.mounts, *mounts),
            limits=bounds,
            outputs=outputs,
            report=True,
        )
