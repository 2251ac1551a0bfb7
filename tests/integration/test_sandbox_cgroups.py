"""Cgroups of both versions; what this host cannot do (a version 2 with controllers) is played with plain folders."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hypernode.agent.sandboxes import cgroup_tree, cgroups, cgroups_v2
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Group, Use

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="cgroups are made by root on Linux"
)


def _wait_until(condition: object) -> bool:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.01)
    return False


def _in_group(group: Group) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], preexec_fn=group.enter)


def test_a_group_of_this_host_holds_kills_and_goes() -> None:
    groups = cgroups.open_groups()
    name = f"hypernode-test-{os.getpid()}"
    group = groups.make(name, 64 << 20, 8, 500)
    try:
        process = _in_group(group)
        assert not group.remove(), "a group with processes cannot go"
        assert _wait_until(group.kill)
        assert process.wait(5) == -9
        assert group.use().memory_kills == 0
        with pytest.raises(FileExistsError):
            groups.make(name, 64 << 20, 8, 500)
    finally:
        _wait_until(group.remove)
    assert groups.left_over(name) == []


def test_left_over_finds_by_prefix_only() -> None:
    groups = cgroups.open_groups()
    mine = groups.make(f"hypernode-test-mine-{os.getpid()}", 64 << 20, 8, 500)
    other = groups.make(f"hypernode-test-other-{os.getpid()}", 64 << 20, 8, 500)
    try:
        found = groups.left_over("hypernode-test-mine-")
        assert found
        assert all(group.remove() for group in found)
        assert mine.remove()
        assert groups.left_over("hypernode-test-other-")
    finally:
        other.remove()


def test_version_2_kills_and_removes_where_it_is_mounted() -> None:
    """Hybrid hosts mount version 2 without the controllers we need, which is enough for these two."""
    mounts = cgroup_tree.controller_mounts()
    if "" not in mounts:
        pytest.skip("no cgroup2 is mounted on this host")
    folder = f"{mounts[''][0]}/hypernode-test-{os.getpid()}"
    os.mkdir(folder)
    group = cgroups_v2.GroupV2(folder)
    process = _in_group(group)
    assert not group.remove()
    assert _wait_until(group.kill)
    assert process.wait(5) == -9
    assert _wait_until(group.remove)
    assert not Path(folder).exists()


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version 2 tree of plain files: writing makes the file, as the kernel would have."""
    own = tmp_path / "node.service"
    own.mkdir()
    for name, text in {"cgroup.procs": "", "cgroup.type": "domain", "cgroup.subtree_control": ""}.items():
        (own / name).write_text(text)

    def write(path: str, value: object) -> None:
        file = Path(path)
        if file.name == "cgroup.procs" and (own / "cgroup.procs").read_text():
            here = (own / "cgroup.procs").read_text().split()
            (own / "cgroup.procs").write_text("\n".join(line for line in here if line != str(value)))
        file.write_text(str(value))

    monkeypatch.setattr(cgroup_tree, "write", write)
    return own


def test_version_2_limits_are_written(played: Path) -> None:
    (played / "cgroup.subtree_control").write_text("cpu memory pids")
    groups = cgroups_v2.delegated(str(played))
    groups.make("job", 64 << 20, 32, 1500)
    written = {path.name: path.read_text() for path in (played / "job").iterdir()}
    assert written == {
        "memory.max": str(64 << 20),
        "memory.oom.group": "1",
        "pids.max": "32",
        "cpu.max": "150000 100000",
    }


def test_version_2_use_is_read(played: Path) -> None:
    folder = played / "job"
    folder.mkdir()
    (folder / "cpu.stat").write_text("usage_usec 1234567\nuser_usec 1\n")
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (folder / "memory.current").write_text("4096\n")
    assert cgroups_v2.GroupV2(str(folder)).use() == Use(1234, 4096, 2)
    (folder / "memory.peak").write_text("8192\n")
    assert cgroups_v2.GroupV2(str(folder)).use().memory_peak_bytes == 8192


def test_version_2_the_node_steps_aside_in_a_group_of_its_own(played: Path) -> None:
    (played / "cgroup.procs").write_text(f"{os.getpid()}\n{os.getppid()}\n")
    groups = cgroups_v2.delegated(str(played))
    assert groups.version == "v2"
    assert (played / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (played / "hypernode-agent" / "cgroup.procs").exists()
    (played / "cgroup.subtree_control").write_text("memory pids cpu")
    (played / "hypernode-agent" / "cgroup.subtree_control").write_text("")
    again = cgroups_v2.delegated(str(played / "hypernode-agent"))
    again.make("job", 64 << 20, 32, 1000)
    assert (played / "job" / "pids.max").exists()


def test_version_2_a_group_shared_with_others_is_left_alone(played: Path) -> None:
    (played / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    with pytest.raises(CgroupsUnavailable, match="Delegate=yes"):
        cgroups_v2.delegated(str(played))
    assert (played / "cgroup.procs").read_text().split() == [str(os.getpid()), "1"]
    assert not (played / "hypernode-agent").exists()


@pytest.mark.parametrize(
    ("point", "root", "group", "folder"),
    [
        ("/sys/fs/cgroup", "/", "/", "/sys/fs/cgroup"),
        ("/sys/fs/cgroup", "/", "/system.slice/node.service", "/sys/fs/cgroup/system.slice/node.service"),
        ("/sys/fs/cgroup/pids", "/docker/1", "/docker/1", "/sys/fs/cgroup/pids"),
        ("/sys/fs/cgroup/pids", "/docker/1", "/docker/1/sub", "/sys/fs/cgroup/pids/sub"),
        ("/sys/fs/cgroup/pids", "/docker/1", "/docker/12", "/sys/fs/cgroup/pids/docker/12"),
    ],
)
def test_where_a_group_lies(point: str, root: str, group: str, folder: str) -> None:
    assert cgroup_tree.join((point, root), group) == folder
