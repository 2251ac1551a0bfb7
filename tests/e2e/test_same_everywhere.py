"""The same job documents in every sandbox: whoever runs one, the work that is signed is the same to the byte."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from e2e.network import SMALL, Net, py
from engines import RunningEngine
from hypernode.client import wasm_job
from hypernode.client.build import LocalJob, container_job
from hypernode.coordinator.local import LocalNetwork
from hypernode.ledger.receipt import Receipt, work_id
from integration.wasm_modules import module
from registries import Registry

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the sandboxes' full strength needs Linux and root"
)

SANDBOXES = ("bubblewrap", "docker/runc", "docker/runsc", "podman/runc")
LEVELS = {"docker/runsc": 3}

PYTHON = """
import hashlib, json, os, pathlib, sys, threading, subprocess
MARKS = {".dockerenv", "sys", "run", "hostname", "resolv.conf", "mtab", "HOSTNAME"}  # some engines add these
text = pathlib.Path("/in/words.txt").read_text()
workers = [threading.Thread(target=lambda: None) for _ in range(4)]
[worker.start() for worker in workers]; [worker.join() for worker in workers]
said = subprocess.run(["/bin/sh", "-c", "echo from the shell; echo $HOME $PWD"], capture_output=True, text=True).stdout
told = {name: value for name, value in os.environ.items() if name not in {"HYPERNODE_JOB_ID", "LC_CTYPE", *MARKS}}
found = {
    "words": len(text.split()), "sha256": hashlib.sha256(text.encode()).hexdigest(), "said": said,
    "environment": dict(sorted(told.items())), "folder": os.getcwd(), "root": sorted(set(os.listdir("/")) - MARKS),
    "etc": sorted(set(os.listdir("/etc")) - MARKS), "inputs": sorted(os.listdir("/in")),
    "version": sys.version, "path": sys.path,
    "writable": [p for p in ("/", "/usr", "/etc", "/in", "/tmp", "/out", "/dev/shm") if os.access(p, os.W_OK)],
    "float": repr(sum(0.1 * n for n in range(1000))),
}
json.dump(found, open("result.json", "w"), sort_keys=True)
pathlib.Path("sub").mkdir(); pathlib.Path("sub/data.bin").write_bytes(bytes(range(256)) * 100)
print("done", file=sys.stderr)
sys.exit(7)
"""
SHELL = """
echo $GREETING; echo "$0 $1 $2"; pwd
ls -1 / | grep -v -e dockerenv -e "^sys$" -e "^run$"
cat /in/words.txt | sha256sum; cat /work/note; ls -1 /in
env | grep -v -e HYPERNODE_JOB_ID -e HOSTNAME | sort > /out/environment
cat /in/words.txt /work/note > /out/joined
(echo x > /bin/x) 2>/dev/null || echo read-only
echo kept > /tmp/kept && cat /tmp/kept
exit 5
"""
WASM = module(
    "(if (call $open (i32.const 4) $0 (i32.const 0)) (then (call $exit (i32.const 1))))"
    "(i32.store (i32.const 0) (i32.const 8192)) (i32.store (i32.const 4) (i32.const 100))"
    "(drop (call $fd_read (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(if (call $open (i32.const 3) $1 (i32.const 1)) (then (call $exit (i32.const 2))))"
    "(i32.store (i32.const 4) (i32.load (i32.const 8)))"
    "(drop (call $fd_write (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(drop (call $random_get (i32.const 64) (i32.const 8))) (call $put (i32.const 64) (i32.const 8))"
    "(call $exit (i32.const 9))",
    "words.txt",
    "result.txt",
)
WORDS = b"the same words for everybody\n" * 50


class Done(NamedTuple):
    """One job in one sandbox."""

    receipt: Receipt
    said: tuple[str, str]
    made: dict[str, str]


def jobs(image: str) -> dict[str, LocalJob]:
    """One of each kind."""
    # Isolation is part of the document: a level that all of them reach.
    common: dict[str, Any] = {"cap": "1 HYPER", "timeout_s": 120, "resources": SMALL, "isolation": 1}
    return {
        "python": py(
            PYTHON,
            "a",
            "b c",
            inputs={"words.txt": WORDS},
            outputs=["result.json", "sub"],
            environment={"OWN": "ü 1"},
            **common,
        ),
        "container": container_job(
            image,
            ["sh", "one", "two words"],
            entrypoint=["/bin/sh", "-c", SHELL],
            inputs={"words.txt": WORDS},
            outputs=["**"],
            environment={"OWN": "ü 1"},
            **common,
        ),
        "wasm": wasm_job(
            "m.wasm", seed=5, inputs={"m.wasm": WASM, "words.txt": WORDS}, outputs=["result.txt"], **common
        ),
    }


@pytest.fixture(scope="module")
def network(place: Path) -> Iterator[Net]:
    """A coordinator; every test brings its node."""
    with LocalNetwork(place / "everywhere", nodes=0) as network:
        net = Net(network)
        yield net
        net.check_ledger()
        net.end()


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Done]]:
    """What was done by kind of job and by sandbox, in all tests together."""
    return {}


def _files(network: Net, receipt: Receipt, folder: Path) -> dict[str, str]:
    """The outputs that a receipt names, as text."""
    folder.mkdir()
    found = {}
    for output in receipt.body.work.outputs:
        path = network.client.download(output.sha256, folder / output.sha256)
        found[output.path] = path.read_bytes().decode("latin-1")
    return found


def _different(these: dict[str, str], those: dict[str, str]) -> dict[str, Any]:
    """What differs, as short as it can be shown."""
    found: dict[str, Any] = {}
    for name in sorted(set(these) | set(those)):
        one, other = these.get(name, ""), those.get(name, "")
        if one == other:
            continue
        if name.endswith(".json"):
            one, other = json.loads(one), json.loads(other)
            found[name] = {key: (one.get(key), other.get(key)) for key in one | other if one.get(key) != other.get(key)}
        else:
            found[name] = (one[:500], other[:500])
    return found


def _engine(sandbox: str, request: pytest.FixtureRequest) -> RunningEngine | None:
    kind = sandbox.partition("/")[0]
    return request.getfixturevalue(f"{kind}_engine") if kind in ("docker", "podman") else None


@pytest.mark.parametrize("sandbox", [*SANDBOXES, "process"])
def test_every_sandbox_does_the_same_work(
    sandbox: str,
    network: Net,
    seen: dict[str, dict[str, Done]],
    request: pytest.FixtureRequest,
    registry: Registry,
    busybox_image: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    engine = _engine(sandbox, request)
    if engine is not None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    name = sandbox.replace("/", "-")
    network.add_node(name, "--sandbox", sandbox, "--registry", f"http://{registry.address}")
    try:
        (offer,) = network.status(name).capabilities.sandboxes  # type: ignore[union-attr]
        level = LEVELS.get(sandbox, 2) if sandbox in SANDBOXES else 1
        assert (offer.name, offer.isolation) == (sandbox, level), offer
        wanted = jobs(busybox_image)
        if sandbox == "process":
            wanted = {"wasm": wanted["wasm"]}
        assert set(wanted) <= set(offer.runtimes)
        for kind, job in wanted.items():
            view = network.run(job, 120)
            said = network.output(view), network.output(view, stream=2)
            (receipt,) = network.check_receipts(view)
            work, run = receipt.body.work, receipt.body.run
            expected = {"python": 7, "container": 5, "wasm": 9}[kind]
            assert work.exit_code == expected, (kind, said, network.client.explain(view.id).sentences)
            assert run.sandbox.split()[0] == sandbox
            assert run.isolation == level
            made = _files(network, receipt, tmp_path / kind)
            first = seen.setdefault(kind, {})
            for other, known in first.items():
                assert said == known.said, f"{kind}: {sandbox} differs from {other}"
                different = _different(made, known.made)
                assert not different, f"{kind}: {sandbox} differs from {other} in {different}"
                assert work_id(work) == work_id(known.receipt.body.work)
                assert run.fuel == known.receipt.body.run.fuel
            first[sandbox] = Done(receipt, said, made)
    finally:
        network.network.stop_node(name)
