"""The package as it is installed: what is not Python must be in it, too."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
import json
from solders.pubkey import Pubkey
from hypernode.chain.programs import bundle
made = {name: bundle.program(name, str(Pubkey.default())).takes("initialize") for name in bundle.NAMES}
print(json.dumps([str(bundle.IMAGES), made]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contents of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_an_installed_package_has_the_programs(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK], cwd=installed.parent, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    images, takes = json.loads(done.stdout)
    assert Path(images).is_relative_to(installed)
    assert all("deployer" in accounts for accounts in takes.values())
    listed = dict(line.split("  ")[::-1] for line in (Path(images) / "SHA256SUMS").read_text().splitlines())
    for name in takes:
        for file in (f"{name}.so", f"{name}.v0.so"):
            assert hashlib.sha256((Path(images) / file).read_bytes()).hexdigest() == listed[file]


def test_what_is_for_tests_only_is_left_out(installed: Path) -> None:
    assert not list(installed.rglob("selftest*"))


def test_every_file_of_the_sources_that_is_not_python_is_there(installed: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "src/hypernode"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not listed:
        pytest.skip("not a checkout")
    missing = [path for path in listed if not (installed / Path(path).relative_to("src")).exists()]
    assert all(Path(path).name.startswith("selftest.") for path in missing), missing
