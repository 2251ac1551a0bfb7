"""Whatever can be wrong with a job has its code, harms nobody, and never ends in a traceback of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from e2e.network import MIB, Net, hypernode, py
from hypernode.artifacts.folders import Folders
from hypernode.client import python_job, resolve_requirements
from hypernode.jobs import model
from hypernode.jobs.model import ArtifactRef
from hypernode.jobs.views import JobView, TaskView
from hypernode.kernel.errors import CapTooLow, InsufficientFunds, InvalidInput, NotFound, TooLarge
from hypernode.kernel.money import show
from hypernode.ledger.model import worst_price
from hypernode.nodes.model import DEFAULT_ASK


def end_of(net: Net, code: str, **fields: Any) -> tuple[JobView, TaskView]:
    """Run code to its end; the job and its only task. The node must be well afterwards."""
    job = net.run(py(code, **fields))
    task = net.task(job)
    assert net.run(py("print('well')")).state == "succeeded"
    assert all(node.state == "online" for node in net.client.nodes() if node.name in net.network.nodes)
    return job, task


# ── jobs that end badly ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_script_that_exits_with_one(net: Net, tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text("import sys; print('to stdout'); print('to stderr', file=sys.stderr); sys.exit(1)")
    job = net.run(python_job(["python", str(script)], cap="1 HYPER", timeout_s=60))
    task = net.task(job)
    assert (job.state, task.outcome, task.exit_code, task.signal) == ("failed", "exited", 1, None)
    assert (net.output(job, stream=1), net.output(job, stream=2)) == ("to stdout\n", "to stderr\n")
    net.settled_once(job)


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_script_killed_by_a_signal(net: Net, number: int) -> None:
    job, task = end_of(net, f"import os; os.kill(os.getpid(), {number})")
    assert (job.state, task.outcome, task.signal) == ("failed", "signalled", number)
    net.settled_once(job)


def test_a_script_that_floods_its_log(net: Net) -> None:
    job, task = end_of(net, "import os\nwhile True: os.write(1, b'x' * 65536)", timeout_s=120)
    assert (job.state, task.outcome) == ("failed", "log_limit")
    (receipt,) = net.check_receipts(job)
    assert 8 * MIB < receipt.body.run.log_bytes <= 16 * MIB


def test_a_script_that_fills_its_disk(net: Net) -> None:
    code = """
import errno
try:
    with open("/out/full", "wb") as file:
        while True:
            file.write(bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    job, task = end_of(net, code, outputs=["*.txt"])
    assert net.output(job) == "ENOSPC\n"
    assert (job.state, task.outcome, task.exit_code) == ("succeeded", "exited", 0)


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: time.sleep(9)",
    ],
    ids=["spins", "ignores SIGTERM"],
)
def test_a_script_that_never_ends(net: Net, code: str) -> None:
    job, task = end_of(net, code, timeout_s=1)
    assert (job.state, task.outcome, task.exit_code) == ("failed", "timeout", None)
    (receipt,) = net.check_receipts(job)
    assert receipt.decision.billed_ms <= 1000
    assert job.spent <= worst_price(DEFAULT_ASK, 1)


def test_a_fork_bomb(net: Net) -> None:
    code = """
import os, signal
try:
    for _ in range(10_000):
        if os.fork() == 0:
            signal.pause()
except OSError as error:
    print("stopped", error.errno)
"""
    job, task = end_of(net, code, resources={"memory_bytes": 1024 * MIB})
    assert (job.state, task.outcome) == ("succeeded", "exited")
    assert net.output(job) == "stopped 11\n"


def test_a_script_that_exhausts_memory(net: Net) -> None:
    job, task = end_of(net, "x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert (job.state, task.outcome) == ("failed", "out_of_memory")
    net.settled_once(job)


# ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = {
    "a name that is not UTF-8": "open(b'/out/bad\\xff', 'w').write('x')",
    "a name with a line break": "open('/out/two\\nlines', 'w').write('x')",
    "a link that escapes": "os.symlink('/etc/passwd', '/out/link')",
    "a hard link": "os.link('/out/good', '/out/other')",
    "a socket": "import socket; socket.socket(socket.AF_UNIX).bind('/out/socket')",
    "a link to a folder": "os.symlink('/', '/out/root')",
}


@pytest.mark.parametrize("harm", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_outputs_stay_where_they_are(net: Net, tmp_path: Path, harm: str) -> None:
    code = f"import os; open('/out/good', 'w').write('good'); open('/out/third', 'w').write('3'); {harm}"
    job, task = end_of(net, code, outputs=["*"])
    assert (job.state, task.outcome) == ("failed", "output_limit")
    assert {output.path for output in task.outputs} <= {"good", "third"}
    assert sum(output.size_bytes for output in task.outputs) <= 5
    assert "was not collected" in net.output(job, stream=2)
    fetched = net.client.fetch_outputs(job.id, tmp_path / "got")
    assert all((tmp_path / "got") in output.file.parents and output.file.is_file() for output in fetched)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_outputs_together_larger_than_the_disk(net: Net) -> None:
    """Holes take no room on the job's disk, but would on everybody else's."""
    code = """
import os
for name in "abc":
    os.truncate(os.open(name, os.O_CREAT | os.O_RDWR), 15 << 20)
"""
    job, task = end_of(net, code, outputs=["*"])
    assert (job.state, task.outcome) == ("failed", "output_limit")
    assert sum(output.size_bytes for output in task.outputs) == 15 * MIB
    assert "outputs together too large" in net.output(job, stream=2)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        ("os.mkfifo('/out/pipe')", "EPERM"),
        ("os.mknod('/out/device', 0o600 | stat.S_IFBLK, os.makedev(7, 0))", "EPERM"),
        ("os.truncate(os.open('/out/sparse', os.O_CREAT | os.O_RDWR), 1 << 40)", "EFBIG"),
    ],
    ids=["a pipe", "a device", "a sparse terabyte"],
)
def test_what_a_job_cannot_even_make(net: Net, harm: str, error: str) -> None:
    code = f"""
import errno, os, stat
try:
    {harm}
except OSError as refused:
    print(errno.errorcode[refused.errno])
    os.path.exists("/out/sparse") and os.unlink("/out/sparse")
"""
    job, task = end_of(net, code, outputs=["*"])
    assert net.output(job) == f"{error}\n"
    assert (job.state, task.outcome, task.outputs) == ("succeeded", "exited", [])


def test_what_was_not_declared_is_left_out(net: Net) -> None:
    job, task = end_of(net, "import os; open('a', 'w'); open('b', 'w'); os.symlink('/etc', 'c')", outputs=["a"])
    assert (job.state, [output.path for output in task.outputs]) == ("succeeded", ["a"])


def test_a_declared_output_that_is_missing(net: Net) -> None:
    job, task = end_of(net, "open('there', 'w').write('1')", outputs=["there", "elsewhere"])
    assert (job.state, task.outcome, task.exit_code) == ("failed", "output_missing", 0)
    assert [output.path for output in task.outputs] == ["there"]
    assert "declared output elsewhere is not there" in net.output(job, stream=2)


# ── documents ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_wrong_field_is_named_at_once(net: Net) -> None:
    document = msgspec.to_builtins(py("print(1)").document)
    document |= {"unknown": 1, "timeout_s": "10 parsecs", "cap": "1 DOGE"}
    document["resources"] |= {"memory_bytes": "512MiBB"}
    with pytest.raises(InvalidInput) as wrong:
        model.parse(document)
    paths = {error.path for error in wrong.value.errors}
    assert paths == {"$.unknown", "$.timeout_s", "$.cap", "$.resources.memory_bytes"}
    answer = post(net, "/api/v1/jobs", document)
    assert (answer.status_code, answer.json()["code"]) == (422, "input.invalid")
    assert {error["path"] for error in answer.json()["errors"]} == paths


def test_the_command_line_says_the_same(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "version: 1\nruntime: {type: python, code: print(1)}\ncap: 1 HYPER\ntimeout_s: 10 parsecs\nnope: 1\n"
    )
    done = cli(net, "submit", str(path))
    assert done.returncode == 2
    assert "[input.invalid]" in done.stderr
    assert "$.timeout_s" in done.stderr
    assert "$.nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cap_too_low_says_by_how_much(net: Net) -> None:
    job = py("print(1)", cap=1000, timeout_s=60)
    short_by = worst_price(DEFAULT_ASK, 60) - 1000
    assert net.client.quote(job).cap_short_by == short_by
    with pytest.raises(CapTooLow, match=re.escape(f"{show(short_by)} too low")) as refused:
        net.client.submit(job)
    assert refused.value.code == "market.cap_too_low"
    done = cli(net, "run", "--cap", "1000 uHYPER", "--timeout", "60s", "--", "python", "-c", "print(1)")
    assert done.returncode == 2
    assert "[market.cap_too_low]" in done.stderr


def test_more_money_than_there_is(net: Net) -> None:
    before = net.client.account()
    with pytest.raises(InsufficientFunds) as refused:
        net.client.submit(py("print(1)", cap=before.available + 1))
    assert refused.value.code == "ledger.insufficient_funds"
    assert net.client.account() == before


def test_a_body_too_large(net: Net) -> None:
    answer = post(net, "/api/v1/jobs", {"version": 1, "name": "x" * (9 * MIB)})
    assert (answer.status_code, answer.json()["code"]) == (413, TooLarge.code)


# ── artifacts and locks ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_that_nobody_uploaded(net: Net) -> None:
    job = py("print(1)", inputs={"x": ArtifactRef("0" * 64, 5)})
    with pytest.raises((InvalidInput, NotFound)) as refused:
        net.client.submit(job)
    assert refused.value.code in ("input.invalid", "not_found", "artifact.missing")
    assert "0" * 64 in str(refused.value)


def test_a_tampered_artifact_is_run_by_nobody(net: Net) -> None:
    ref = net.client.upload(b"what the client meant")
    stored = Folders(net.network.data).artifact(ref.sha256)
    content = bytearray(stored.read_bytes())
    content[3] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(content)
    job = net.run(py(COPY_OUT, inputs={"x": ref}, retries={"infrastructure": 1}), 60)
    assert job.state == "expired"
    assert (job.spent, job.held) == (0, 0)
    assert [attempt.cause for attempt in net.attempts(job)] == ["artifact.hash_mismatch"] * 2
    assert list(net.client.receipts(job.id)) == []
    assert net.output(job) == ""


COPY_OUT = "print(open('/in/x').read())"


@pytest.mark.parametrize(
    ("lock", "code"),
    [
        (None, "environment.hash_mismatch"),
        (b"six @ https://example.invalid/six-1.17.0-py2.py3-none-any.whl\n", "environment.bad_lock"),
        (b"--index-url https://example.invalid/simple\nsix==1.17.0\n", "environment.bad_lock"),
        (b"six==1.17.0\n", "environment.bad_lock"),
        (b"\xff\xfe", "environment.bad_lock"),
    ],
    ids=["wrong hash", "URL", "index", "no hash", "not text"],
)
def test_a_lock_that_cannot_be_had_fails_the_task_unpaid(net: Net, lock: bytes | None, code: str) -> None:
    if lock is None:
        right = resolve_requirements(["six"])
        lock = re.sub(rb"sha256:[0-9a-f]{64}", b"sha256:" + b"0" * 64, right)
        assert lock != right
    job = net.run(py("print('never')", lock=lock))
    assert (job.state, job.spent, job.held) == ("failed", 0, 0)
    (attempt,) = net.attempts(job)
    assert (attempt.state, attempt.cause, attempt.price) == ("lost", code, 0)
    assert list(net.client.receipts(job.id)) == []
    explained = "\n".join(net.client.explain(job.id).sentences)
    assert code in explained
    assert "Nobody was paid" in explained


def test_requirements_that_do_not_exist(net: Net) -> None:
    done = cli(net, "run", "--with", "six==99.99.99", "--", "python", "-c", "print(1)")
    assert done.returncode == 2
    assert "[requirements.unresolvable]" in done.stderr
    assert "Traceback" not in done.stderr


def post(net: Net, path: str, body: Any) -> httpx.Response:
    """Past the client's own checks."""
    headers = {"Authorization": f"Bearer {net.network.client_key}", "Idempotency-Key": "e2e-past-the-client"}
    return httpx.post(f"{net.network.url}{path}", json=body, headers=headers, trust_env=False)


def cli(net: Net, *arguments: str) -> Any:
    return hypernode(*arguments, HYPERNODE_URL=net.network.url, HYPERNODE_API_KEY=net.network.client_key)
