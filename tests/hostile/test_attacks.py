"""Hostile programs in the full sandbox, judged from outside. `attack` itself asserts that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostile.backends import AnySandbox, Differences
from hypernode.agent.collect import CollectLimits, Refusal
from hypernode.agent.sandboxes import owned
from hypernode.agent.sandboxes.base import Mount, Reason, Task

Attack = Callable[..., Any]
MIB = 1 << 20
ORDINARY = ["threads 4", "subprocess child", "pool 12", "loopback True", "temporary 1000"]


async def test_ordinary_work_is_not_hindered(attack: Attack) -> None:
    ran = await attack("ordinary", patterns=("**",))
    assert ran.outcome.reason is Reason.EXITED, ran
    assert ran.outcome.exit_code == 0, ran.stderr
    assert ran.lines == ORDINARY
    assert ran.stderr == "errors are separate\n"
    assert [(a.path, a.size_bytes) for a in ran.collected.accepted] == [("result.txt", 2)]
    assert (ran.spool / ran.collected.accepted[0].sha256).read_bytes() == b"42"
    assert ran.outcome.usage.cpu_ms > 0
    assert ran.outcome.usage.memory_peak_bytes > MIB


async def test_fork_bomb_stops_at_the_process_limit(attack: Attack, differs: Differences) -> None:
    ran = await attack("fork_bomb")
    assert "UNCONTAINED" not in ran.stdout
    if differs.own_kernel:
        assert ran.outcome.exit_code != 0, ran.outcome
    else:
        assert int(ran.lines[0].split()[2]) < 64


async def test_processes_that_fork_for_ever_are_all_killed(attack: Attack, differs: Differences) -> None:
    ran = await attack("runaway_fork", wall_ms=1000)
    assert "running" in ran.lines
    if not differs.own_kernel:
        assert ran.outcome.reason is Reason.TIMEOUT
    assert ran.outcome.usage.wall_ms < 4000


async def test_memory_bomb_is_killed_at_the_limit(attack: Attack) -> None:
    ran = await attack("memory_bomb")
    assert ran.outcome.reason is Reason.OUT_OF_MEMORY
    assert "UNCONTAINED" not in ran.stdout
    assert ran.outcome.usage.memory_peak_bytes <= 256 * MIB


async def test_nothing_but_tmp_and_out_can_be_filled(attack: Attack) -> None:
    ran = await attack("fill")
    assert "UNBOUNDED" not in ran.stdout
    written = {line.split()[0]: int(line.split()[1]) for line in ran.lines}
    assert 8 <= written.pop("/tmp") <= 16
    assert 8 <= written.pop("/dev/shm") <= 16
    assert 32 <= written.pop("/out") <= 64
    assert set(written.values()) == {0}, ran.stdout


async def test_a_full_volume_is_reported(attack: Attack) -> None:
    ran = await attack("inodes")
    assert "UNBOUNDED" not in ran.stdout
    assert int(ran.lines[0].split()[2]) <= 4096 + 32
    assert ran.outcome.reason is Reason.EXITED
    assert ran.outcome.disk_full


async def test_large_outputs_fit(attack: Attack) -> None:
    ran = await attack("fill", disk_bytes=600 * MIB)
    assert "/out UNBOUNDED" in ran.lines  # its own 400 MiB


async def test_no_network_reaches_anything(attack: Attack, differs: Differences) -> None:
    with (
        socket.create_server(("", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route,
    ):
        route.connect(("192.0.2.1", 9))
        name = f"hypernode-bait-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        ran = await attack("network", str(server.getsockname()[1]), name, route.getsockname()[0])
    assert len(ran.lines) == 13
    assert {line.split()[0] for line in ran.lines if "OPEN" in line} <= differs.emulated, ran.stdout
    vsock = next(line for line in ran.lines if line.startswith("vsock"))
    assert "not supported" in vsock, "AF_VSOCK is not bound by namespaces: the filter has to refuse it"


async def test_host_files_environment_and_processes_are_hidden(
    attack: Attack, differs: Differences, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SECRET", "s3cret")
    ran = await attack("host", str(home), __file__, "/tmp/../root")
    assert ran.outcome.exit_code == 0, ran.stderr
    assert {line.removeprefix("READ ") for line in ran.lines if "READ" in line} == differs.readable, ran.stdout
    assert "WRITABLE" not in ran.stdout, ran.stdout
    assert "AGENT_SECRET" not in ran.stdout
    assert next(line for line in ran.lines if line.startswith("processes")) == f"processes {differs.processes}"
    assert "others []" in ran.stdout, "a descriptor of the node reached the job"
    # A job may write into its own init's memory, so that must be as bound as the job itself.
    init = next(line for line in ran.lines if line.startswith("init "))
    bound = "Seccomp: 0" if differs.own_kernel else "NoNewPrivs: 1 Seccomp: 2"
    assert init == f"init CapEff: 0000000000000000 {bound}"
    users, groups, others, name = re.fullmatch(r"identity (\(.*?\)) (\(.*?\)) (\[.*?\]) (.*)", ran.lines[-1]).groups()  # type: ignore[union-attr]
    user = differs.user_inside or owned.first_user(home)
    assert users == groups == f"({user}, {user}, {user})"
    assert others in ("[]", f"[{user}]")
    assert name == "job"


async def test_a_job_kills_only_itself(attack: Attack) -> None:
    ran = await attack("killer")
    assert ran.outcome.reason is Reason.EXITED


async def test_dangerous_system_calls_are_refused(attack: Attack, differs: Differences) -> None:
    ran = await attack("calls")
    assert ran.outcome.reason is Reason.EXITED, ran.outcome
    assert len(ran.lines) == 30
    assert {line.split()[0] for line in ran.lines if "ALLOWED" in line} <= differs.emulated, ran.stdout
    assert "clone3 ENOSYS" in ran.lines, "glibc needs ENOSYS to fall back; EPERM breaks threads"


async def test_a_daemon_does_not_outlive_its_job(attack: Attack) -> None:
    ran = await attack("daemon", "left-behind-marker")
    assert ran.lines == ["main exits"]
    assert ran.outcome.exit_code == 0


async def test_a_flood_is_cut_at_the_byte_and_killed(attack: Attack) -> None:
    ran = await attack("flood")
    assert ran.outcome.reason is Reason.LOG_LIMIT
    assert len(ran.stdout) + len(ran.stderr) == MIB == ran.outcome.usage.log_bytes
    assert ran.outcome.usage.wall_ms < 5000


async def test_hostile_outputs_lead_nowhere(attack: Attack, differs: Differences) -> None:
    ran = await attack("links", patterns=("**",))
    accepted = {a.path: a.size_bytes for a in ran.collected.accepted}
    assert accepted.pop("fine.txt") == 4
    assert accepted.pop("plots/a.png") == 3
    assert accepted.pop("setuid") > 0
    assert accepted.pop("sparse") == 0, "a file's size is bounded too, not only its blocks"
    assert accepted == {}
    for file in ran.spool.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, "no mode bit of a job survives"
    refused = {line.split(" refused")[0] for line in ran.lines if "refused" in line}
    assert differs.refused_in_out <= refused, ran.stdout
    assert "sparse" in refused, "a terabyte, even of nothing, is more than a file may have"
    assert "deep made" in ran.lines
    why = {rejected.path: rejected.why for rejected in ran.collected.rejected}
    assert Refusal.TOO_DEEP in why.values(), "600 folders, each in the one before"
    assert why["a\\nb"] is why["\\xff\\xfe"] is why["\\x1b[2J"] is Refusal.NAME
    assert why["link.txt"] is why["folder"] is why["relative"] is Refusal.NOT_REGULAR
    assert why["twice"] is why["twice-2"] is Refusal.LINKED


async def test_only_declared_outputs_are_taken(attack: Attack) -> None:
    ran = await attack("links", patterns=("plots/*.png",))
    assert [a.path for a in ran.collected.accepted] == ["plots/a.png"]


async def test_ignored_signals_do_not_help(attack: Attack) -> None:
    ran = await attack("stubborn", wall_ms=1000)
    assert ran.outcome.reason is Reason.TIMEOUT
    assert 1000 <= ran.outcome.usage.wall_ms < 2500
    assert ran.lines == ["ignoring"]


async def test_cpu_is_bounded(attack: Attack) -> None:
    ran = await attack("burn", cpu_milli=500)
    usage = ran.outcome.usage
    assert usage.cpu_ms <= usage.wall_ms * 0.5 * 1.15 + 100


async def test_set_user_id_programs_are_programs_like_others(attack: Attack, tmp_path: Path) -> None:
    """Root's own, shown by the host: started, it stays who started it."""
    program = tmp_path / "id"
    shutil.copyfile("/usr/bin/id", program)
    program.chmod(0o6755)
    assert program.stat().st_uid == 0
    assert program.stat().st_mode & stat.S_ISUID
    ran = await attack("setuid", mounts=(Mount(program, "/job-tools/id"),))
    assert ran.outcome.exit_code == 0, ran.stderr
    assert len(ran.lines) == 2
    assert "uid=0" not in ran.stdout, ran.stdout
    assert "euid=0" not in ran.stdout, ran.stdout


async def test_the_agent_and_its_other_jobs_notice_nothing(
    sandbox: AnySandbox, make_job: Callable[..., Task], left_over: Callable[[], list[str]], settles: Any, tmp_path: Path
) -> None:
    """Bombs of three kinds and a flood, and among them a job that minds its own business."""
    attacks = [make_job(name) for name in ("fork_bomb", "memory_bomb", "flood", "inodes")]
    good = make_job("ordinary", key="good")
    lines: list[bytes] = []
    gaps: list[float] = []
    await asyncio.gather(*(sandbox.prepare(task) for task in (*attacks, good)))

    async def pulse() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    beating = asyncio.create_task(pulse())
    try:
        outcome, *others = await asyncio.gather(
            sandbox.run(good, lambda stream, data: lines.append(data) if stream == 1 else None),
            *(sandbox.run(task, lambda stream, data: None) for task in attacks),
        )
        collected = await sandbox.outputs("good", ("**",), tmp_path / "spool", CollectLimits())
    finally:
        beating.cancel()
        await asyncio.gather(*(sandbox.release(task.key) for task in (*attacks, good)))
    assert outcome.exit_code == 0, outcome
    assert b"".join(lines).decode().splitlines() == ORDINARY
    assert [(tmp_path / "spool" / a.sha256).read_bytes() for a in collected.accepted] == [b"42"]
    assert [other.reason for other in others][1:3] == [Reason.OUT_OF_MEMORY, Reason.LOG_LIMIT]
    assert max(gaps) < 1.0, "the agent's loop stood still"
    assert await settles(left_over) == []
