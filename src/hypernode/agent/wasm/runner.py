"""What runs in the sandbox of a WebAssembly job: compiles a module, or runs one that was compiled here before.

    python -I -S …/runner.py compile MODULE COMPILED
    python -I -S …/runner.py run COMPILED SETTINGS [NAME=VALUE …] NAME [ARGUMENT …]

Imports wasmtime, `wasi` beside it, and the standard library. In one JSON document it says how it went: in the file that
HYPERNODE_REPORT names, or on descriptor 0, which then is the writing end of a pipe to the agent; the program it runs
has no way there. See `report` for the other end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final, NoReturn

# The folder that `site` made: wasmtime, and this package without the rest. Isolated mode adds no folder by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import wasmtime

from hypernode.agent.wasm.wasi import Exited, RandomStream, RepeatableWasi

MAGIC: Final = b"\0asm\x01\0\0\0"
COMPONENT: Final = b"\0asm\x0d\0\x01\0"
ROOT: Final = os.environ.get("HYPERNODE_ROOT", "")
"""What stands before the paths of this command line and of its settings: a folder, where there is no own /."""
TRAPPED: Final = 134
"""Exit code of a program that trapped: what a shell shows for one that aborted."""
STACK_BYTES: Final = 1 << 20
TABLE_ELEMENTS: Final = 1 << 20
MESSAGE_CHARS: Final = 1500


class BadModule(Exception):
    """No node could run this module."""


def engine() -> wasmtime.Engine:
    """The engine of every module: nothing in it may depend on the machine or on chance."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_threads = False
    config.shared_memory = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False  # one memory, so that its bound bounds them all
    config.wasm_function_references = False
    config.wasm_gc = False
    config.wasm_exceptions = False
    config.wasm_stack_switching = False
    config.max_wasm_stack = STACK_BYTES
    config.parallel_compilation = False
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        # Without cgroups a limit on addresses is all there is, and wasmtime would reserve 4 GiB of them a memory.
        # A memory that grows moves: for a moment there are two of it.
        config.memory_reservation = 0
        config.memory_reservation_for_growth = 16 << 20
        config.memory_guard_size = 0
    return wasmtime.Engine(config)


def check(data: bytes) -> None:
    """Raise BadModule unless this begins as a core module does: text, components and machine code are not taken."""
    if data[:8] == COMPONENT:
        raise BadModule("it is a WebAssembly component; a core module with WASI preview 1 is needed")
    if data[:8] != MAGIC:
        raise BadModule("it is not a WebAssembly module")


def compile_module(source: str, target: str) -> dict[str, Any]:
    """Compile, and see that the module is one that `run_module` can start."""
    data = Path(source).read_bytes()
    check(data)
    host = engine()
    try:
        module = wasmtime.Module(host, data)
    except wasmtime.WasmtimeError as error:
        raise BadModule(str(error)) from error
    exports = {export.name: export.type for export in module.exports}
    if not isinstance(exports.get("_start"), wasmtime.FuncType):
        raise BadModule("it exports no function _start; a WASI command module is needed")
    if not isinstance(exports.get("memory"), wasmtime.MemoryType):
        raise BadModule("it exports no memory")
    linker = wasmtime.Linker(host)
    RepeatableWasi(wasmtime.Store(host), None).link(linker)
    try:
        linker.instantiate_pre(module)
    except wasmtime.WasmtimeError as error:
        raise BadModule(f"an import is not to be had: {error}") from error
    Path(target).write_bytes(module.serialize())
    return {"compiled": True}


def run_module(compiled: str, settings: dict[str, Any], environment: list[str], arguments: list[str]) -> dict[str, Any]:
    """Run to the end: exit code, fuel used, what it trapped on, and how many µs passed before its first instruction."""
    began = time.perf_counter()
    host = engine()
    module = wasmtime.Module.deserialize_file(host, compiled)
    store = wasmtime.Store(host)
    store.set_limits(
        memory_size=settings["memory_bytes"], table_elements=TABLE_ELEMENTS, instances=2, tables=16, memories=2
    )
    fuel: int = settings["fuel"]
    store.set_fuel(fuel)
    seed = settings["seed"]
    linker = wasmtime.Linker(host)
    RepeatableWasi(store, RandomStream(seed, settings["task"]) if seed is not None else None).link(linker)
    store.set_wasi(_world(settings, environment, arguments))
    trap = ""
    code = 0
    out_of_fuel = False
    started = began
    try:
        instance = linker.instantiate(store, module)
        start = instance.exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        started = time.perf_counter()
        start(store)
    except Exited as ended:
        code = ended.code
    except wasmtime.Trap as error:
        code, trap = TRAPPED, str(error)
        out_of_fuel = error.trap_code is wasmtime.TrapCode.OUT_OF_FUEL
    except wasmtime.WasmtimeError as error:  # a WASI call that cannot be answered, or a memory beyond the limit
        code, trap = TRAPPED, str(error)
    return {
        "exit_code": code,
        "fuel": fuel if out_of_fuel else fuel - store.get_fuel(),
        "out_of_fuel": out_of_fuel,
        "trap": trap[:MESSAGE_CHARS],
        "own_us": round((started - began) * 1e6),
    }


def _world(settings: dict[str, Any], environment: list[str], arguments: list[str]) -> wasmtime.WasiConfig:
    """All that the program gets of the world: its words, its streams, and two folders. Standard input is empty."""
    wasi = wasmtime.WasiConfig()
    wasi.argv = arguments
    wasi.env = [pair.split("=", 1) for pair in environment]
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    if settings["outputs"]:
        wasi.preopen_dir(f"{ROOT}/out", ".")  # libraries take relative paths from here
    if settings["inputs"]:
        wasi.preopen_dir(f"{ROOT}/in", "/in", fs_mutable=False)
    if settings["outputs"]:
        wasi.preopen_dir(f"{ROOT}/out", "/out")
    return wasi


def main() -> NoReturn:
    """Do what the command line says, report it on descriptor 0, and exit as the program did."""
    file = os.environ.get("HYPERNODE_REPORT")
    report = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if file else os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    what, first, second, *rest = sys.argv[1:]
    if what == "compile":
        try:
            said = compile_module(ROOT + first, ROOT + second)
        except BadModule as error:
            said = {"bad_module": str(error)[:MESSAGE_CHARS]}
    else:
        settings = json.loads(second)
        variables: int = settings["variables"]
        said = run_module(ROOT + first, settings, rest[:variables], rest[variables:])
        if said["trap"]:
            sys.stderr.write(f"hypernode: trapped: {said['trap']}\n")
            sys.stderr.flush()
    os.write(report, json.dumps(said).encode())
    os._exit(said.get("exit_code", 0))  # wasmtime's objects need no tidying up in a process that ends


if __name__ == "__main__":
    main()
