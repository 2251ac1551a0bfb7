"""The requirements files: every package pinned with hashes, no index named, and in agreement with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ELSEWHERE = [ROOT / "src/hypernode/chain/local/requirements.txt", ROOT / "tests/clients/python/requirements.txt"]
"""Of environments apart from ours."""
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)


def normalized(requirement: str) -> str:
    """The package's name in a requirement, as PEP 503 writes it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text()))


def test_the_files_are_those_the_tools_use():
    assert [lock.name for lock in LOCKS] == ["dev.txt", "runtime.txt", "uv.txt"]


@pytest.mark.parametrize("lock", [*LOCKS, *ELSEWHERE], ids=lambda lock: f"{lock.parent.name}-{lock.stem}")
def test_every_package_has_hashes_and_none_a_place(lock):
    text = lock.read_text()
    # A requirement is a line with what continues it; comments say who asked for it.
    requirements = re.findall(r"^(?![#\s])(?:[^\\\n]|\\\n)+", text, re.MULTILINE)
    assert requirements
    for requirement in requirements:
        assert PIN.match(requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement
    for word in ("--index", "--extra-index", "--find-links", "://", "file:", " @ "):
        assert word not in text, f"{lock.name} names a place: {word}"


def test_locks_hold_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = {normalized(requirement) for requirement in project["dependencies"]}
    dev = {normalized(requirement) for requirement in project["optional-dependencies"]["dev"]}
    assert runtime <= set(pins(ROOT / "requirements/runtime.txt"))
    assert runtime | dev <= set(pins(ROOT / "requirements/dev.txt"))


def test_files_agree_with_each_other():
    dev = pins(ROOT / "requirements/dev.txt")
    for name in ("runtime.txt", "uv.txt"):
        for package, version in pins(ROOT / "requirements" / name).items():
            assert dev[package] == version, package
