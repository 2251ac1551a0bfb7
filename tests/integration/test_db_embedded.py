"""The embedded server against crashes of everything around it. Each test has a folder, and so a server, of its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from hypernode.db.embedded import EmbeddedPostgres
from hypernode.db.system_user import SystemUser, allow_passage
from hypernode.kernel.errors import Unavailable

HOLDER = """
import asyncio, sys
from pathlib import Path
from hypernode.db.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print(server.postmaster_pid, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever PostgreSQL a failed test leaves on it is ended."""
    yield tmp_path / "home"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and process.cwd().startswith(str(tmp_path)):
                process.kill()


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process which uses the folder's server, and the server's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


async def query(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_data_outlives_a_restart_and_stop_really_stops(folder):
    async with EmbeddedPostgres(folder) as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        pids = server.pids()
        assert len(pids) > 1
        for name, value in [("fsync", "on"), ("synchronous_commit", "on"), ("timezone", "UTC"), ("jit", "off")]:
            assert await query(server.dsn, f"SHOW {name}") == value
        assert await query(server.dsn, "SHOW listen_addresses") == ""
    assert all(is_gone(pid) for pid in pids)
    assert not (folder / "pgdata" / "postmaster.pid").exists()
    async with EmbeddedPostgres(folder) as server:
        assert await query(server.dsn, "SELECT n FROM kept") == 1
    with pytest.raises(Unavailable):
        _ = server.dsn


async def test_second_process_shares_and_the_last_one_stops(folder):
    with holder(folder) as (other, pid):
        server = await EmbeddedPostgres(folder).start()
        assert server.postmaster_pid == pid
        other.communicate("\n", timeout=30)
        assert not is_gone(pid)
        assert await query(server.dsn, "SELECT 1") == 1
        await server.stop()
        assert is_gone(pid)
        await server.stop()


async def test_server_of_a_killed_process_is_taken_over_and_stopped(folder):
    with holder(folder) as (other, pid):
        other.kill()
        other.wait()
        assert not is_gone(pid)
        async with EmbeddedPostgres(folder) as server:
            assert server.postmaster_pid == pid
            assert await query(server.dsn, "SELECT 1") == 1
        assert is_gone(pid)


async def test_everything_killed_at_once_comes_back_with_its_data(folder):
    async with EmbeddedPostgres(folder) as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
    with holder(folder) as (other, pid):
        os.kill(pid, signal.SIGKILL)  # the postmaster alone: its children are still there when the next start comes
        other.kill()
        async with EmbeddedPostgres(folder) as server:
            assert server.postmaster_pid != pid
            assert await query(server.dsn, "SELECT n FROM kept") == 1


async def test_stale_pid_file_with_a_reused_id_does_not_block(folder):
    async with EmbeddedPostgres(folder) as server:
        text = (folder / "pgdata" / "postmaster.pid").read_text()
        socket_folder = text.splitlines()[4]
        assert socket_folder in server.dsn
    lines = text.splitlines()
    lines[0] = str(os.getpid())  # alive, and no PostgreSQL
    (folder / "pgdata" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    async with EmbeddedPostgres(folder) as server:
        assert await query(server.dsn, "SELECT 1") == 1


async def test_supervision_restarts_a_killed_postmaster(folder):
    async with EmbeddedPostgres(folder) as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        supervision = asyncio.create_task(server.supervise())
        first = server.postmaster_pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(15):
            while server.postmaster_pid == first:
                await asyncio.sleep(0.05)
        assert await query(server.dsn, "SELECT n FROM kept") == 1
        supervision.cancel()
        last = server.postmaster_pid
    assert is_gone(last)


async def test_interrupted_initdb_leaves_no_half_cluster(folder):
    (folder / "pgdata.new-dead" / "base").mkdir(parents=True)
    async with EmbeddedPostgres(folder) as server:
        assert await query(server.dsn, "SELECT 1") == 1
    assert not list(folder.glob("pgdata.new-*"))


async def test_socket_of_a_long_path_lies_in_a_private_folder(folder):
    long = folder / ("x" * 100)
    async with EmbeddedPostgres(long) as server:
        assert await query(server.dsn, "SELECT 1") == 1
        socket_folder = Path(server.dsn.split("host=")[1])
        assert socket_folder.stat().st_mode & 0o077 == 0
        assert not socket_folder.is_relative_to(folder)


async def test_cluster_of_another_major_version_is_refused(folder):
    async with EmbeddedPostgres(folder):
        pass
    (folder / "pgdata" / "PG_VERSION").write_text("9\n")
    with pytest.raises(Unavailable, match="PostgreSQL 9"):
        await EmbeddedPostgres(folder).start()


async def test_start_that_fails_says_why_and_can_be_repeated(folder):
    broken = EmbeddedPostgres(folder, settings={"shared_buffers": "'nonsense'"})
    with pytest.raises(Unavailable, match="nonsense"):
        await broken.start()
    async with EmbeddedPostgres(folder) as server:
        assert await query(server.dsn, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
async def test_private_home_above_stays_private(tmp_path):
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    async with EmbeddedPostgres(home / "data") as server:
        assert await query(server.dsn, "SELECT 1") == 1
        assert psutil.Process(server.postmaster_pid).uids().effective != 0
    assert home.stat().st_mode & 0o007 == 0
    if not os.listxattr(home):
        pytest.fail("expected an access control entry")
    before = os.getxattr(home, "system.posix_acl_access")
    allow_passage(home / "data", SystemUser(uid=home.stat().st_uid + 4242, gid=0))
    allow_passage(home / "data", SystemUser(uid=home.stat().st_uid + 4242, gid=0))
    assert len(os.getxattr(home, "system.posix_acl_access")) == len(before) + 8
