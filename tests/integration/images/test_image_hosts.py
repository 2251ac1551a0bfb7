"""Hosts that lack the tools, or root."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hypernode.agent.images import unpack, unpacked
from integration.sandbox_tools import MIB
from registries import (
    Entry,
    Registry,
    busybox,
    folder,
    layer,
)


def test_a_host_without_the_tools_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert unpacked.why_not() is None
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in ("umoci", "skopeo") else real(name))
    assert (unpacked.why_not() or "").endswith("apt install skopeo umoci")


NOBODY = f"""
import ctypes, os
from {unpack.__name__} import main
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # a change of user closes a process's own /proc to it, until it executes a program
main()
"""


def test_without_root_the_folder_is_watched(tmp_path: Path, registry: Registry, registries_conf: Path) -> None:
    """Unpacks as an ordinary user, in a process of its own."""
    nobody = 65534
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    ok = registry.push("sized/plain", busybox(Entry("closed", b"x", mode=0), folder("locked", mode=0)))
    bomb = registry.push("tools/bomb", layer(Entry("zeros", bytes(150 * MIB))))
    flood = registry.push("tools/flood", layer(*(Entry(f"many/{n}") for n in range(8_000))))
    said = []
    for number, name in enumerate((ok, bomb, flood)):
        part = work / str(number)
        part.mkdir()
        command = ["skopeo", "--registries-conf", str(registries_conf), "copy", "--quiet", f"docker://{name}"]
        subprocess.run([*command, f"oci:{part}/layout:image"], check=True)
        subprocess.run(["chown", "-R", str(nobody), str(work)], check=True)
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, f"{part}/layout", f"{part}/root", str(64 * MIB), "5000"],
            capture_output=True,
            text=True,
            cwd="/",
        )
        said.append(done.stdout.partition(" ")[0])
        print(done.stdout, done.stderr)
    assert said == ["ok", "image.too_large", "image.too_large"]
    assert (work / "0/root/bin/busybox").stat().st_uid == nobody
    assert (work / "0/root/closed").stat().st_mode & 0o777 == 0o444
