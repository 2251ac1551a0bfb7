"""The folder that sandboxes of WebAssembly jobs see: wasmtime, and this package's two files that run inside.

Copied once into the node's store, because the node's own environment may lie where a job's user may not look, and so
that the bytecode is there. The agent itself never loads wasmtime: it is a compiler and a JIT for strangers' code.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Mount

PLACE: Final = "/opt/wasm"
"""Where the folder lies inside the sandbox."""
INSIDE: Final = "hypernode/agent/wasm"
FILES: Final = ("runner.py", "wasi.py")
COMPILE_S: Final = 120


class WasmUnavailable(Exception):
    """This host cannot run WebAssembly; the message says what to do about it."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A made folder."""

    engine: str
    """Name and version of the engine, as in `wasmtime/50.0.1`: fuel is comparable between nodes that share it."""
    tag: str
    """What compiled modules depend on: engine, our settings for it, the processor's features."""
    argv: tuple[str, ...]
    """The runner's command line inside, without its own arguments."""
    mounts: tuple[Mount, ...]
    environment: dict[str, str]


def make(folder: Path, interpreter: Interpreter) -> Site:
    """The site of the installed wasmtime below `folder`, made on the first call (a second or two), atomically.

    Raises WasmUnavailable without wasmtime, OSError if the folder cannot be written.
    """
    found = importlib.util.find_spec("wasmtime")  # finds it, without running any of it
    if found is None or found.origin is None:
        raise WasmUnavailable("install wasmtime into the node's environment (it has wheels for x86-64 and arm64)")
    version = importlib.metadata.version("wasmtime")
    own = Path(__file__).parent
    sources = b"\0".join((own / name).read_bytes() for name in FILES)
    digest = hashlib.sha256(sources + interpreter.tag.encode()).hexdigest()[:16]
    target = folder / f"site-{version}-{digest}"
    _make_once(target, Path(found.origin).parent, own, interpreter)
    return Site(
        engine=f"wasmtime/{version}",
        tag=f"{version} {digest} {platform.machine()} {_processor()}",
        argv=(interpreter.executable, "-I", "-S", f"{PLACE}/{INSIDE}/runner.py"),
        mounts=(*interpreter.mounts, Mount(target, PLACE)),
        environment=interpreter.environment,
    )


def _make_once(target: Path, package: Path, own: Path, interpreter: Interpreter) -> None:
    if target.is_dir():
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(target.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return
        part = target.with_name(f".part-{target.name}")
        shutil.rmtree(part, ignore_errors=True)
        # No symbolic links, and no file's own mode: what is copied is for everybody to read and for nobody to write.
        shutil.copytree(package, part / "wasmtime", ignore=shutil.ignore_patterns("__pycache__"))
        inside = part / INSIDE
        inside.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(own / name, inside / name)
        for below in (inside, inside.parent, inside.parent.parent):
            (below / "__init__.py").write_text("")
        command = [str(interpreter.host_executable), "-I", "-S", "-m", "compileall", "-q"]
        subprocess.run(
            [*command, "--invalidation-mode", "unchecked-hash", str(part)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMPILE_S,
            check=False,  # without bytecode it is slower, not wrong
        )
        for path, _, names in os.walk(part):
            os.chmod(path, 0o755)
            for name in names:
                os.chmod(os.path.join(path, name), 0o444)
        for old in target.parent.glob("site-*"):
            shutil.rmtree(old, ignore_errors=True)  # of another version
        os.rename(part, target)


def _processor() -> str:
    """A digest of what this processor can do: compiled code uses it, and a home may move to another machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(flags.encode()).hexdigest()[:16]
