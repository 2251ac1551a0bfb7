"""The Python that jobs run on: a trimmed copy of the node's own, or the host's where that is a system one.

The node's Python often lives where a job may not look (a version manager below a private home). It is copied once into
the node's store, without what no job needs, and shown to jobs at one fixed place, so that nothing about the operator's
machine leaks into paths, and so that environments built on it are the same everywhere.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import msgspec

from hypernode.agent.sandboxes.base import Mount

PLACE = "/opt/python"
"""Where a copied interpreter lies inside the sandbox."""
SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "turtledemo", "tkinter", "lib2to3"}
    | {"__pycache__", "ensurepip", "pkgconfig", "share", "include"}
)
SKIPPED_ENDINGS = (".a", ".o", ".pyc", ".exe")


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python that a sandbox can run."""

    version: str
    """Feature version, such as "3.11"."""
    full_version: str
    tag: str
    """What compiled packages depend on, such as `cpython-3.11.7-cpython-311-x86_64-linux-gnu`."""
    executable: str
    """Its path inside the sandbox."""
    home: str
    """The folder of the executable inside: what a virtual environment calls `home`."""
    host_executable: Path
    """The same interpreter as the host runs it, to build environments with."""
    mounts: tuple[Mount, ...]
    environment: dict[str, str]
    """Variables it needs to start, for every task that uses it."""


def prepare(store: Path) -> Interpreter:
    """This process's interpreter, made available to sandboxes. Copies it on the first call (seconds), atomically.

    Raises OSError if the store cannot be written.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    full = f"{version}.{sys.version_info.micro}"
    tag = f"{sys.implementation.name}-{full}-{sysconfig.get_config_var('SOABI') or sys.platform}"
    base = Path(sys.base_prefix).resolve()
    host_executable = base / "bin" / f"python{version}"
    if base == Path("/usr"):
        executable = str(host_executable)
        mounts: tuple[Mount, ...] = ()
        environment: dict[str, str] = {}
    else:
        copied = _copy_once(base, version, store / "python" / tag)
        executable, mounts = f"{PLACE}/bin/python{version}", (Mount(copied, PLACE),)
        # A shared libpython is found by an absolute path that the build wrote into the binary: the old one.
        shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
        environment = {"LD_LIBRARY_PATH": f"{PLACE}/lib"} if shared else {}
    return Interpreter(
        version=version,
        full_version=full,
        tag=tag,
        executable=executable,
        home=os.path.dirname(executable),
        host_executable=host_executable,
        mounts=mounts,
        environment=environment,
    )


def _copy_once(base: Path, version: str, target: Path) -> Path:
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(target.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        part = target.with_name(f".part-{target.name}")
        shutil.rmtree(part, ignore_errors=True)
        (part / "bin").mkdir(parents=True)
        shutil.copy2(base / "bin" / f"python{version}", part / "bin" / f"python{version}")
        for name in ("python", "python3"):
            (part / "bin" / name).symlink_to(f"python{version}")
        (part / "lib").mkdir()
        for library in sorted((base / "lib").glob("libpython*.so*")):
            shutil.copy2(library, part / "lib" / library.name, follow_symlinks=False)
        shutil.copytree(
            base / "lib" / f"python{version}",
            part / "lib" / f"python{version}",
            symlinks=True,
            ignore=_skip(version),
        )
        (part / "lib" / f"python{version}" / "site-packages").mkdir()
        _compile(base / "bin" / f"python{version}", part / "lib" / f"python{version}")
        _readable(part)
        os.rename(part, target)
    return target


def _skip(version: str) -> Callable[[str, list[str]], set[str]]:
    def skip(folder: str, names: list[str]) -> set[str]:
        unwanted = {n for n in names if n in SKIPPED_FOLDERS or n.endswith(SKIPPED_ENDINGS)}
        return unwanted | {n for n in names if n.startswith(f"config-{version}")}

    return skip


def _compile(python: Path, library: Path) -> None:
    """Bytecode once here: in the sandbox it could not be kept, and every job would compile again."""
    subprocess.run(
        [python, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", library],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=False,  # a file that does not compile (there are some) stays as source
    )


def _readable(root: Path) -> None:
    for folder, _, names in os.walk(root):
        os.chmod(folder, 0o755)
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)
