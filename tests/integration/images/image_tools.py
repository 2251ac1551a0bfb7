"""What tests of images share: tasks in them, and what is left on the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.sandboxes.base import Image, ImageError, Login, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from integration.sandbox_tools import LIMITS, MIB, run
from registries import (
    ARCHITECTURE,
    PASSWORD,
    USER,
    Entry,
    Registry,
    layer,
)

LOGIN = Login(USER, PASSWORD)
OTHER = "arm64" if ARCHITECTURE == "amd64" else "amd64"


def kept(store: Path) -> list[str]:
    """The digests of the images that are here. There must be nothing else."""
    found = sorted(path.name for path in store.iterdir())
    assert not [name for name in found if len(name) != 64], "something half-made was left"
    return found


async def refused(images: UnpackedImages, name: str, login: Login | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        async with images.hold(name, login):
            pass
    return caught.value


def task(image: Image, *argv: str, **changes: Any) -> Task:
    limits = {name: changes.pop(name) for name in list(changes) if name in LIMITS.__struct_fields__}
    made = Task(
        key="task",
        argv=argv,
        environment={"PATH": "/usr/bin:/bin"},
        working_folder="/tmp",
        mounts=(),
        limits=msgspec.structs.replace(LIMITS, **limits),
        outputs=False,
        image=image,
    )
    return msgspec.structs.replace(made, **changes)


async def shell(sandbox: BubblewrapSandbox, image: Image, script: str, **changes: Any) -> list[str]:
    """The lines that a script says in an image."""
    outcome, said, errors = await run(sandbox, task(image, "/bin/sh", "-c", script, **changes))
    assert outcome.exit_code == 0, (outcome, said, errors)
    return said.splitlines()


def tool(*command: str) -> bytes:
    """What a tool of this host says."""
    return subprocess.run(command, check=True, capture_output=True).stdout


def children_of(text: str) -> list[int]:
    """Processes of this host whose command line has `text` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def loop_devices() -> str:
    """What the loop devices of this host hold."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it went in this moment
            found.append(path.read_text())
    return "".join(found)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.01)


def sized(registry: Registry, name: str, mebibytes: int = 10) -> str:
    return registry.push(f"sized/{name}", layer(Entry(name, os.urandom(mebibytes * MIB))))


async def use(images: UnpackedImages, name: str) -> None:
    async with images.hold(name):
        pass
