"""An image in an engine that asks for all that images can ask for, and a task in it that gets what tasks get."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hostile.backends import ENGINES, AnySandbox, Backend
from hostile.conftest import LIMITS
from hypernode.agent.sandboxes import owned
from hypernode.agent.sandboxes.base import Image, Mount, Reason, Task
from hypernode.agent.sandboxes.engine import sweep
from registries import ARCHITECTURE, Entry, busybox, folder, layer, link

# bubblewrap takes images in another form, and has tests of its own about them.
pytestmark = pytest.mark.parametrize("backend", ENGINES, indirect=True)

LeftOver = Callable[[], list[str]]
Settles = Callable[..., Any]


def _load(backend: Backend, root: bytes, config: dict[str, Any]) -> str:
    """The id of an image with one layer."""
    assert backend.running is not None
    document = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(root).hexdigest()}"]},
    }
    data = json.dumps(document).encode()
    name = f"localhost/hostile:{hashlib.sha256(data).hexdigest()[:12]}"
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    entries = {"config.json": data, "layer.tar": root, "manifest.json": json.dumps(manifest).encode()}
    archive = layer(*(Entry(member, content) for member, content in entries.items()))
    transport = httpx.HTTPTransport(uds=str(backend.running.socket))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=60) as client:
        client.post("/images/load", content=archive, headers={"Content-Type": "application/x-tar"}).raise_for_status()
        return str(client.get(f"/images/{name}/json").raise_for_status().json()["Id"])


def _task(image: str, script: str, **changes: Any) -> Task:
    task = Task(
        key="in-image",
        argv=("/bin/sh", "-c", script),
        environment={"PATH": "/bin", "OWN": "1", "HOME": "/tmp", "LANG": "C.UTF-8"},
        working_folder="/out",
        mounts=(),
        limits=LIMITS,
        outputs=True,
        image=Image(root=image, entrypoint=(), command=(), environment={}, working_folder=""),
    )
    return msgspec.structs.replace(task, **changes)


async def _run(sandbox: AnySandbox, task: Task) -> tuple[Any, list[str], str]:
    said: dict[int, bytes] = {1: b"", 2: b""}

    def on_output(stream: int, data: bytes) -> None:
        said[stream] += data

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(task.key)
    return outcome, said[1].decode().splitlines(), said[2].decode()


@pytest.fixture
def victims() -> Iterator[Path]:
    """A folder of the host that is not below /tmp, which is the task's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


GREEDY = {
    "User": "root",
    "Env": ["SECRET=image", "OWN=image", "LD_PRELOAD=/evil.so"],
    "Entrypoint": ["/bin/false"],
    "Cmd": ["/bin/false"],
    "WorkingDir": "/root",
    "Volumes": {"/data": {}, "/data/deeper": {}, "/var/lib/x": {}, "/out": {}, "/tmp": {}},
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "/bin/touch", "/out/healthy"], "Interval": 1_000_000_000},
    "StopSignal": "SIGCONT",
}


async def test_an_image_gets_nothing_by_asking(
    sandbox: AnySandbox, backend: Backend, home: Path, left_over: LeftOver, settles: Settles
) -> None:
    labels = {sweep.LABEL: owned.prefix(home), sweep.KEY_LABEL: "another"}
    root = busybox(
        folder("data", 0o777),
        folder("data/deeper", 0o777),
        Entry("data/note", b"from the image", mode=0o666),
        folder("out", 0o700),
        Entry("out/hidden", b"x"),
        folder("tmp", 0o1777),
        folder("root", 0o777),
    )
    image = _load(backend, root, {**GREEDY, "Labels": labels})
    script = """
        env | sort; cat /data/note; echo; id -u
        for folder in /data /data/deeper /var/lib/x /root / /run /var/tmp /dev; do
            echo x > $folder/try 2>/dev/null && echo "wrote $folder"
        done
        dd if=/dev/zero of=/tmp/big bs=1M count=40 2>/dev/null || echo "/tmp is bounded"
        rm -f /tmp/big; echo x > /out/x && echo x > /tmp/x && ls /out; sleep 2; ls /out
    """
    outcome, lines, errors = await _run(sandbox, _task(image, script))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 0), errors
    own = {"HOME=/tmp", "LANG=C.UTF-8", "OWN=1", "PATH=/bin", "PWD=/out"}
    assert set(lines[: lines.index("from the image")]) - {"HOSTNAME=job", "SHLVL=1"} == own
    user, *rest = lines[lines.index("from the image") + 1 :]
    assert int(user) >= owned.FIRST_USER
    assert rest == ["/tmp is bounded", "x", "x"], (
        "nothing but /out and /tmp is writable, and nothing runs beside the task"
    )
    assert await settles(left_over) == []


async def test_links_of_an_image_lead_nowhere(
    sandbox: AnySandbox, backend: Backend, victims: Path, tmp_path: Path, left_over: LeftOver, settles: Settles
) -> None:
    """Folders that a task is given its own in, as links out of the image: followed within it, if at all."""
    victim = victims / "victim"
    victim.mkdir()
    victim.chmod(0o777)
    (tmp_path / "input").write_text("input")
    root = busybox(
        link("out", str(victim)), link("tmp", f"../../../../..{victim}"), link("in", str(victim)), folder("var", 0o777)
    )
    image = _load(backend, root, {})
    task = _task(
        image, "echo x > /out/x; echo y > /tmp/y; cat /in/data", mounts=(Mount(tmp_path / "input", "/in/data"),)
    )
    outcome, _, errors = await _run(sandbox, task)
    assert outcome.reason in (Reason.EXITED, Reason.INFRASTRUCTURE), errors
    assert list(victim.iterdir()) == []
    assert await settles(left_over) == []


@pytest.mark.parametrize("mode", [0o1777, 0o755])
async def test_a_task_may_write_in_tmp_whatever_the_image_says(
    sandbox: AnySandbox, backend: Backend, mode: int
) -> None:
    image = _load(backend, busybox(folder("tmp", mode)), {})
    outcome, _, errors = await _run(sandbox, _task(image, "echo x > /tmp/x", outputs=False, working_folder="/tmp"))
    # Podman takes no owner for /tmp, and runc gives it the mode that the image's has.
    cannot = backend.name == "podman-runc" and mode == 0o755
    assert (outcome.exit_code != 0) is cannot, errors


async def test_an_image_without_a_shell_or_anything_else(sandbox: AnySandbox, backend: Backend) -> None:
    image = _load(backend, layer(folder("etc")), {})
    outcome, _, _ = await _run(sandbox, _task(image, "true"))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 127)
    assert "/bin/sh" in outcome.detail
