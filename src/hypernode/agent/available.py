"""The sandboxes this host might have, made ready to be tried, in the order in which a node prefers them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from hypernode.agent.backends import Backend
from hypernode.agent.home import Policy
from hypernode.agent.images import unpacked
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.engine import find
from hypernode.agent.sandboxes.engine.find import Engine
from hypernode.agent.sandboxes.engine.images import EngineImages
from hypernode.agent.sandboxes.engine.sandbox import EngineSandbox
from hypernode.agent.sandboxes.process import ProcessSandbox
from hypernode.agent.wasm.host import WasmHost
from hypernode.images.reach import Reach
from hypernode.nodes.model import Failure


class Store:
    """What all sandboxes of a node are made from."""

    def __init__(self, folder: Path, policy: Policy, interpreter: Interpreter, *, wasm: bool = True) -> None:
        """`folder` holds whatever sandboxes keep; without `wasm` none of them gets a WebAssembly host."""
        self._folder = folder
        self._policy = policy
        self._interpreter = interpreter
        self._wasm = wasm

    async def backends(self) -> list[Backend]:
        """Every sandbox that the owner allows and this host might have. Changes nothing.

        What starts fastest comes first, since a job that needs more isolation says so: bubblewrap, engines, engines
        with a kernel for every task, and a bare process as the last resort, for WebAssembly only.
        """
        found: list[Backend] = []
        if self._policy.allows("bubblewrap"):
            found.append(self._bubblewrap())
        engines = [engine for engine in await find.find(os.environ) if self._policy.allows(engine.name)]
        images: dict[Path, EngineImages] = {}
        for engine in sorted(engines, key=lambda engine: engine.own_kernel):
            home = self._folder / "engines" / engine.name.replace("/", "-")
            if engine.socket not in images:  # all runtimes of an engine have the same images
                images[engine.socket] = self._engine_images(engine)
            found.append(
                self._backend(
                    engine.name,
                    EngineSandbox(home, self._interpreter, engine, images=images[engine.socket]),
                    best=3 if engine.own_kernel else 2,
                    # gVisor's loopback is its own: nobody could listen there for a task.
                    egress=not engine.own_kernel,
                )
            )
        if self._policy.allows("process") and self._wasm:
            process = ProcessSandbox(self._folder / "process", self._interpreter)
            found.append(self._backend("process", process, native=False, egress=False))
        return found

    def _bubblewrap(self) -> Backend:
        why_not = unpacked.why_not()
        images = None
        if why_not is None:
            reach = Reach(self._policy.registries)
            images = UnpackedImages(self._folder / "images", self._policy.cache_bytes, reach=reach)
        sandbox = BubblewrapSandbox(self._folder / "sandbox", self._interpreter, images=images)
        lacks = Failure("container", why_not) if why_not is not None else None
        return self._backend("bubblewrap", sandbox, lacks=lacks)

    def _engine_images(self, engine: Engine) -> EngineImages:
        place = hashlib.sha256(os.fsencode(engine.socket)).hexdigest()[:12]
        folder = self._folder / "engines" / f"images-{place}"
        return EngineImages(engine, folder, self._policy.cache_bytes, reach=Reach(self._policy.registries))

    def _backend(
        self,
        name: str,
        sandbox: Sandbox,
        *,
        best: int = 2,
        native: bool = True,
        egress: bool = True,
        lacks: Failure | None = None,
    ) -> Backend:
        # Compiled modules are kept apart: how code is compiled depends on how the sandbox bounds memory.
        folder = self._folder / "wasm" / name.replace("/", "-")
        host = WasmHost(folder, self._interpreter, sandbox, self._policy.cache_bytes) if self._wasm else None
        way_out = self._interpreter if egress and self._policy.egress else None
        return Backend(name, sandbox, host, best=best, native=native, egress=way_out, lacks=lacks)


def missing(policy: Policy, found: Sequence[str]) -> list[tuple[str, str]]:
    """Sandboxes that the owner allows and of which nothing is here, each with how to get it."""
    engines = [kind for kind in find.Kind if policy.allows(kind.value)]
    if not engines or any("/" in name for name in found):
        return []
    why = "no container engine answers: install Docker or Podman and start it, or set DOCKER_HOST to its Unix socket"
    return [(" or ".join(kind.value for kind in engines), why)]
