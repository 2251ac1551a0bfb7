"""Every sandbox that can be had on this machine, engines that the bench starts itself included."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench.results import ROOT
from hypernode.agent import interpreter
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.engine.find import look
from hypernode.agent.sandboxes.engine.sandbox import EngineSandbox
from hypernode.agent.wasm.host import WasmHost

sys.path.insert(0, str(ROOT / "tests"))

from engines import RunningEngine

PROGRAMS = {"docker": "dockerd", "podman": "podman"}


class Machine(NamedTuple):
    """What there is to measure. `wasm` runs in bubblewrap."""

    folder: Path
    interpreter: Interpreter
    sandboxes: dict[str, Sandbox]
    wasm: WasmHost


@asynccontextmanager
async def every_sandbox(*, engines: bool = True) -> AsyncIterator[Machine]:
    """bubblewrap, and as root Docker with runc and gVisor and Podman with runc, as far as they are installed."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hypernode-bench-")))
        python = interpreter.prepare(folder)
        bubblewrap = BubblewrapSandbox(folder / "bubblewrap", python)
        stack.push_async_callback(bubblewrap.close)
        sandboxes: dict[str, Sandbox] = {"bubblewrap": bubblewrap}
        for kind, program in PROGRAMS.items() if engines else ():
            if os.geteuid() != 0 or shutil.which(program) is None:
                continue
            running = RunningEngine(kind)
            stack.callback(running.remove)
            await asyncio.to_thread(running.start)
            for engine in await look(running.socket):
                container = EngineSandbox(folder / engine.name.replace("/", "-"), python, engine)
                stack.push_async_callback(container.close)
                sandboxes[engine.name] = container
        for sandbox in sandboxes.values():
            await sandbox.probe()
        wasm = WasmHost(folder / "wasm", python, bubblewrap, 1 << 30)
        if (failure := await wasm.probe()) is not None:
            raise SystemExit(failure.remedy)
        yield Machine(folder, python, sandboxes, wasm)
