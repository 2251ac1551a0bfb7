"""Python environments made from a lock: built once, shared read-only, never trusted.

An environment is a folder named after the hash of its lock and of the interpreter. It is built beside the others and
renamed into place, so that half of one is never seen. Nothing in a package is executed here: wheels only, and the
bytecode is compiled by the interpreter *without* the environment, because starting Python inside it would already run
what a `.pth` file asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Mount

PLACE = "/env"
"""Where an environment lies inside the sandbox."""
LOCK_BYTES = 4 << 20
INSTALL_S = 900
MESSAGE_CHARACTERS = 1500

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})(?P<extras>\[{_NAME}(?:\s*,\s*{_NAME})*\])?\s*==\s*(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?P<marker>\s*;[^#@\\/]*?)?(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_SECRETS = re.compile(r"(?i)\b(token|password|secret|api[_-]?key|authorization)(\s*[=:]\s*)\S+")


class EnvironmentFailed(Exception):
    """An environment cannot be had. `code` is stable; the message is for whoever wrote the lock.

    Codes: `environment.bad_lock` (refused before anything was fetched), `environment.resolve_failed` (the index has no
    such version), `environment.hash_mismatch` (it has another file than the lock names), `environment.no_wheel` (only
    source, which is never built), `environment.install_failed` (anything else: network, disk, time).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """A built environment."""

    path: Path
    """On the host."""
    python: str
    """Its interpreter inside the sandbox."""
    key: str
    """SHA-256 of the lock and the interpreter's tag."""
    size_bytes: int
    mounts: tuple[Mount, ...]
    """Everything a task needs to use it: the interpreter and the environment itself."""
    environment: dict[str, str]
    """Variables for the task: PATH with the environment first, and what the interpreter needs."""


def check_lock(lock: bytes) -> bytes:
    """A lock as it will be installed: pinned, hashed, nothing else. Comments and blank lines are dropped.

    Raises EnvironmentFailed `environment.bad_lock` naming the first line that is anything but
    `name[extras]==version ; marker --hash=sha256:…`: no URLs, paths, editables, nested files or options.
    """
    if len(lock) > LOCK_BYTES:
        raise EnvironmentFailed("environment.bad_lock", f"the lock has {len(lock)} bytes, at most {LOCK_BYTES}")
    try:
        text = lock.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EnvironmentFailed("environment.bad_lock", "the lock is not UTF-8") from error
    kept: list[str] = []
    for number, line in _logical_lines(text):
        if not _REQUIREMENT.fullmatch(line):
            shown = _redact(line[:120])
            raise EnvironmentFailed(
                "environment.bad_lock",
                f"line {number}: {shown!r} is not `name==version --hash=sha256:…`; make the lock with"
                " `uv pip compile --generate-hashes`",
            )
        kept.append(line)
    return ("\n".join(kept) + "\n").encode() if kept else b""


class EnvironmentCache:
    """Environments below `root`, at most `max_bytes` of them, the least recently used going first.

    Safe to share between processes: builds and evictions hold file locks. The wheels they are made of are kept too,
    hard-linked into the environments, and are dropped as a whole above the same bound.
    """

    def __init__(self, root: Path, interpreter: Interpreter, max_bytes: int = 20 << 30) -> None:
        self._root = root
        self._interpreter = interpreter
        self._max_bytes = max_bytes
        self._building: dict[str, asyncio.Task[Environment]] = {}
        self._leases: dict[str, int] = {}

    def key(self, lock: bytes | None) -> str:
        """The name of the environment of a lock, whether or not it exists. Raises `environment.bad_lock`."""
        return self._key(check_lock(lock) if lock else b"")

    @contextlib.asynccontextmanager
    async def lease(self, lock: bytes | None) -> AsyncIterator[Environment]:
        """An environment that is not evicted while the block runs. Raises EnvironmentFailed."""
        key = self.key(lock)
        self._leases[key] = self._leases.get(key, 0) + 1
        shared = -1
        try:
            while True:
                environment = await self.get(lock)
                # Held across processes: eviction asks for this lock exclusively, without waiting.
                shared = os.open(self._root / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                await asyncio.to_thread(fcntl.flock, shared, fcntl.LOCK_SH)
                if environment.path.is_dir():
                    break
                os.close(shared)  # another process evicted it in between; building it again needs the lock
                shared = -1
            yield environment
        finally:
            if shared >= 0:
                os.close(shared)
            self._leases[key] -= 1
            if not self._leases[key]:
                del self._leases[key]

    async def get(self, lock: bytes | None) -> Environment:
        """The environment of a lock, built if need be; of no packages for None. Raises EnvironmentFailed.

        Concurrent calls for one lock build once. Cancelling one caller does not stop a build others wait for.
        """
        content = check_lock(lock) if lock else b""
        key = self._key(content)
        if (found := self._existing(key)) is not None:
            return found
        building = self._building.get(key)
        if building is None:
            building = asyncio.create_task(asyncio.to_thread(self._build, key, content))
            self._building[key] = building
            building.add_done_callback(lambda task: self._built(key, task))
        return await asyncio.shield(building)

    # -------------------------------------------------------------------------------------------- inside

    def _key(self, content: bytes) -> str:
        return hashlib.sha256(content + b"\0" + self._interpreter.tag.encode()).hexdigest()

    def _built(self, key: str, task: asyncio.Task[Environment]) -> None:
        del self._building[key]
        if not task.cancelled():
            task.exception()  # every waiter may have been cancelled; the failure is not lost on the next caller

    def _existing(self, key: str) -> Environment | None:
        try:
            size = int((self._root / f"{key}.size").read_text())
            _touch(self._root / f"{key}.size")
            os.stat(self._root / key)
        except (OSError, ValueError):
            return None
        return self._environment(key, size)

    def _environment(self, key: str, size: int) -> Environment:
        path = self._root / key
        python = self._interpreter
        return Environment(
            path=path,
            python=f"{PLACE}/bin/python",
            key=key,
            size_bytes=size,
            mounts=(*python.mounts, Mount(path, PLACE)),
            environment={**python.environment, "PATH": f"{PLACE}/bin:/usr/bin:/bin", "VIRTUAL_ENV": PLACE},
        )

    def _build(self, key: str, content: bytes) -> Environment:
        """Build in this thread, one process at a time per key."""
        self._root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(self._root / f"{key}.lock", "a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if (found := self._existing(key)) is not None:
                return found
            part = self._root / f".part-{key}"
            _remove(part)
            try:
                self._install(part, content)
                size = _seal(part)
                (self._root / f"{key}.size").write_text(str(size))
                _touch(self._root / f"{key}.size")
                _remove(self._root / key)  # without its size it was being evicted
                os.rename(part, self._root / key)
            finally:
                _remove(part)
        self._make_room(keep=key)
        return self._environment(key, size)

    def _install(self, part: Path, content: bytes) -> None:
        python = self._interpreter
        wheels = ["--cache-dir", str(self._root / "wheels")]
        _uv(["venv", "--no-project", "--relocatable", *wheels, "--python", str(python.host_executable), str(part)])
        if content:
            lock = part / ".lock.txt"
            lock.write_bytes(content)
            # uv reads the interpreter's layout by running it, while the environment is still empty.
            command = ["pip", "install", "--only-binary", ":all:", "--require-hashes"]
            command += [
                "--link-mode",
                "hardlink",
                "--no-compile-bytecode",
                *wheels,
                "--python",
                str(part / "bin/python"),
            ]
            _uv([*command, "-r", str(lock)])
            lock.unlink()
            _refuse_links(part / "lib")
            self._compile(part)
        _aim(part, python)

    def _compile(self, part: Path) -> None:
        """With the bare interpreter and no site: nothing of the environment is imported."""
        command = [str(self._interpreter.host_executable), "-I", "-S", "-m", "compileall", "-q", "-j", "2"]
        command += ["--invalidation-mode", "unchecked-hash", str(part / "lib")]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=INSTALL_S,
                check=False,  # packages ship files for other versions; what fails to compile stays as source
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFailed("environment.install_failed", "compiling bytecode took too long") from error

    def _make_room(self, keep: str) -> None:
        """Evict what was used longest ago and is not leased, here or in another process."""
        found: list[tuple[float, int, str]] = []
        for path in self._root.glob("*.size"):
            try:
                found.append((path.stat().st_mtime, int(path.read_text()), path.stem))
            except (OSError, ValueError):
                continue
        total = sum(size for _, size, _ in found)
        for _, size, key in sorted(found):
            if total <= self._max_bytes:
                break
            if key != keep and key not in self._leases and self._evict(key):
                total -= size
        wheels = self._root / "wheels"
        if wheels.is_dir() and _size(wheels) > self._max_bytes:
            _remove(wheels)

    def _evict(self, key: str) -> bool:
        with open(self._root / f"{key}.lock", "a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # The size goes first: without it the folder no longer counts as an environment. The lock file stays;
            # another process may be waiting on it.
            (self._root / f"{key}.size").unlink(missing_ok=True)
            _remove(self._root / key)
        return True


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with continuations joined and comments gone, with the number of their first line."""
    found: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not pending:
            first = number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        whole = (pending + line).strip()
        pending = ""
        if whole:
            found.append((first, whole))
    if pending.strip():
        found.append((first, pending.strip()))
    return found


def _uv(arguments: list[str]) -> None:
    """Run uv with the operator's own configuration. Raises EnvironmentFailed with the end of what it said."""
    import uv

    # These would change what is installed or where, or add output to parse; the operator's indexes stay.
    dropped = (
        "VIRTUAL_ENV",
        "UV_COMPILE_BYTECODE",
        "UV_PROJECT_ENVIRONMENT",
        "UV_LINK_MODE",
        "UV_NO_BINARY",
        "UV_PYTHON",
    )
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["NO_COLOR"] = "1"
    try:
        done = subprocess.run(
            [uv.find_uv_bin(), *arguments, "--no-progress"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed("environment.install_failed", f"no end after {INSTALL_S} s") from error
    except OSError as error:
        raise EnvironmentFailed("environment.install_failed", f"uv cannot be started: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise EnvironmentFailed(_code(said), _redact(said)[-MESSAGE_CHARACTERS:])


def _code(said: str) -> str:
    lowered = " ".join(said.lower().split())
    if "hash mismatch" in lowered:
        return "environment.hash_mismatch"
    if "no usable wheels" in lowered or "no wheels" in lowered or "building from source is disabled" in lowered:
        return "environment.no_wheel"
    if "no solution found" in lowered or "not found in the package registry" in lowered:
        return "environment.resolve_failed"
    return "environment.install_failed"


def _redact(text: str) -> str:
    """Without credentials: index addresses may carry them, and this text travels to the submitter."""
    return _SECRETS.sub(r"\1\2***", _CREDENTIALS.sub("***@", text))


def _aim(part: Path, python: Interpreter) -> None:
    """Point the environment at the interpreter as it is seen inside the sandbox, instead of as it is seen here."""
    binary = part / "bin" / "python"
    binary.unlink()
    binary.symlink_to(python.executable)
    lines = []
    for line in (part / "pyvenv.cfg").read_text().splitlines():
        lines.append(f"home = {python.home}" if line.startswith("home ") else line)
    (part / "pyvenv.cfg").write_text("\n".join(lines) + "\n")


def _refuse_links(folder: Path) -> None:
    """A link in a wheel could have a file of the host compiled into the environment, where the job can read it."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if os.path.islink(os.path.join(parent, name)):
                raise EnvironmentFailed("environment.install_failed", f"a package contains a link: {name[:100]!r}")


def _touch(path: Path) -> None:
    """Note the time of use, exactly: the file system's own stamps are too coarse to tell what came first."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _seal(part: Path) -> int:
    """Make everything readable to all and writable to none, set-uid to none; returns the size in bytes."""
    total = 0
    for folder, _, names in os.walk(part):
        for name in names:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            if stat.S_ISREG(state.st_mode):
                total += state.st_blocks * 512
                os.chmod(path, 0o555 if state.st_mode & 0o111 else 0o444)
        os.chmod(folder, 0o555)
    return total


def _size(root: Path) -> int:
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def _remove(path: Path) -> None:
    """Delete a sealed folder; as an ordinary user one has to be allowed to write into it first."""
    if not path.is_dir():
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    for _ in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)
    raise EnvironmentFailed("environment.install_failed", f"cannot remove {path.name}")
