"""The sandboxes this host might have, made ready to be tried, in the order in which a node prefers them."""

from __future__ import annotations

from pathlib import Path

from hypernode.agent.backends import Backend
from hypernode.agent.home import Policy
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Sandbox
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.sandboxes.process import ProcessSandbox
from hypernode.agent.wasm.host import WasmHost


def backends(store: Path, policy: Policy, interpreter: Interpreter, *, wasm: bool = True) -> list[Backend]:
    """Every sandbox that the owner allows. bubblewrap comes first: it starts fastest. A bare process is the last
    resort, and for WebAssembly only. Touches nothing."""
    found: list[Backend] = []
    if policy.allows("bubblewrap"):
        found.append(
            _backend("bubblewrap", BubblewrapSandbox(store / "sandbox", interpreter), store, policy, interpreter, wasm)
        )
    if policy.allows("process") and wasm:
        process = ProcessSandbox(store / "process", interpreter)
        found.append(_backend("process", process, store, policy, interpreter, wasm, native=False))
    return found


def missing(policy: Policy) -> list[tuple[str, str]]:
    """Sandboxes that `backends` may not even name because nothing of them is here, each with how to get it."""
    return []


def _backend(
    name: str,
    sandbox: Sandbox,
    store: Path,
    policy: Policy,
    interpreter: Interpreter,
    wasm: bool,
    *,
    best: int = 2,
    native: bool = True,
) -> Backend:
    # Compiled modules are kept apart: how code is compiled depends on how the sandbox bounds memory.
    host = WasmHost(store / "wasm" / name, interpreter, sandbox, policy.cache_bytes) if wasm else None
    egress = interpreter if policy.egress and native else None
    return Backend(name, sandbox, host, best=best, native=native, egress=egress)
