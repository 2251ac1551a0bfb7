"""Folders as a hostile job leaves them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypernode.agent.sandboxes import folders

MIB = 1 << 20


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder in a folder, three thousand times, which no path can name to its end."""
    root = tmp_path / "deep"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    yield root
    folders.remove(root)  # pytest's own way of removing it would fail


def test_very_deep_folders_are_counted(deep: Path) -> None:
    assert sys.getrecursionlimit() < 3000
    assert folders.over_limit(deep, 1500, MIB * 100)
    assert not folders.over_limit(deep, 5000, MIB * 100)


def test_very_deep_folders_are_removed(deep: Path) -> None:
    assert folders.remove(deep)
    assert not deep.exists()


def test_walking_follows_no_links_and_shows_folders_first(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x" * 5000)
    (tmp_path / "a/round").symlink_to(tmp_path)
    (tmp_path / "a/dangling").symlink_to("nowhere")
    seen = [os.path.relpath(path, tmp_path) for path, _ in folders.walk(tmp_path)]
    assert sorted(seen) == ["a", "a/b", "a/b/file", "a/dangling", "a/round"]
    assert seen.index("a") < seen.index("a/b") < seen.index("a/b/file")
    assert list(folders.walk(tmp_path / "nothing")) == []


@pytest.mark.parametrize(("files", "size_bytes", "over"), [(10, MIB, False), (2, MIB, True), (10, 4096, True)])
def test_both_limits_count(tmp_path: Path, files: int, size_bytes: int, over: bool) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"x" * 4096)
    assert folders.over_limit(tmp_path, files, size_bytes) is over


def test_what_may_not_be_entered_is_removed_too(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    (locked / "in/side").mkdir(parents=True)
    (locked / "in/side/file").touch()
    (tmp_path / "kept").touch()
    (locked / "in/link").symlink_to(tmp_path / "kept")
    (locked / "in/side").chmod(0)
    (locked / "in").chmod(0o555)
    assert folders.remove(locked)
    assert os.listdir(tmp_path) == ["kept"]
    assert folders.remove(locked)
