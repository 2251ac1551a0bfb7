"""What goes in comes out; arrays, retries, isolation, and environments that are built once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from e2e.network import MIB, Net, py
from hypernode.client import resolve_requirements
from hypernode.ledger.model import worst_price
from hypernode.nodes.model import DEFAULT_ASK

COPY = "import shutil; shutil.copyfile('/in/x', '/out/x')"


@pytest.mark.parametrize("size_bytes", [0, 1, 256 * MIB], ids=["nothing", "one byte", "256 MiB"])
def test_bytes_out_are_bytes_in(net: Net, tmp_path: Path, size_bytes: int) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(os.urandom(MIB))
        file.write(os.urandom(size_bytes % MIB))
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    disk = {"disk_bytes": 320 * MIB}
    job = net.run(py(COPY, inputs={"x": source}, outputs=["x"], resources=disk), 120)
    assert job.state == "succeeded", net.client.explain(job.id).sentences
    (output,) = net.task(job).outputs
    assert (output.path, output.size_bytes, output.sha256) == ("x", size_bytes, digest)
    (fetched,) = net.client.fetch_outputs(job.id, tmp_path / "fetched")
    with fetched.file.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    assert fetched.file.stat().st_size == size_bytes


def test_a_job_sees_its_inputs_read_only_and_its_own_folder(net: Net) -> None:
    code = """
import json, os, pathlib
seen = {"in": sorted(str(p) for p in pathlib.Path("/in").rglob("*") if p.is_file()), "here": os.getcwd()}
for place in ("/in/a", "/in/new"):
    try:
        open(place, "w")
    except OSError as error:
        seen[place] = error.errno
seen["variable"] = os.environ["GREETING"]
print(json.dumps(seen))
"""
    job = net.run(py(code, inputs={"a": b"1", "deep/er/b": b"2"}, outputs=["*"], environment={"GREETING": "grüß dich"}))
    seen = json.loads(net.output(job))
    assert seen["in"] == ["/in/a", "/in/deep/er/b"]
    assert seen["here"] == "/out"
    assert seen["variable"] == "grüß dich"
    assert seen["/in/a"] and seen["/in/new"]


def test_an_array_of_eight_runs_on_both_nodes(net: Net, tmp_path: Path) -> None:
    code = """
import os, time
index = os.environ["TASK"]
open("square", "w").write(str(int(index) ** 2))
print("task", index, "of", os.environ["HYPERNODE_ARRAY_SIZE"])
time.sleep(0.3)
"""
    job = net.run(py(code, outputs=["square"], array={"size": 8, "index_variable": "TASK"}))
    assert (job.state, job.tasks.succeeded) == ("succeeded", 8)
    tasks = net.tasks(job)
    assert [task.index for task in tasks] == list(range(8))
    assert {attempt.node for task in tasks for attempt in task.attempts} == {net.key("node-1"), net.key("node-2")}
    net.client.fetch_outputs(job.id, tmp_path)
    assert [(tmp_path / str(n) / "square").read_text() for n in range(8)] == [str(n * n) for n in range(8)]
    assert [net.output(job, n) for n in range(8)] == [f"task {n} of 8\n" for n in range(8)]
    receipts = net.check_receipts(job, 8)
    assert job.spent == sum(receipt.decision.split.price for receipt in receipts)
    assert job.held == 0


def test_retries_of_failures_pay_every_attempt_within_the_cap(net: Net) -> None:
    code = "import os, time; time.sleep(0.3); raise SystemExit(3 if os.environ['HYPERNODE_ATTEMPT'] == '1' else 0)"
    cap = worst_price(DEFAULT_ASK, 10) * 2
    job = net.run(py(code, cap=cap, timeout_s=10, retries={"failures": 1}))
    assert job.state == "succeeded"
    first, second = net.attempts(job)
    assert (first.state, second.state) == ("retried", "accepted")
    assert first.price > 0
    assert second.price > 0
    assert job.spent == first.price + second.price <= cap
    assert [receipt.body.work.exit_code for receipt in net.check_receipts(job, 2)] == [3, 0]
    assert any("attempt 1 failed" in line.lower() for line in net.client.explain(job.id).sentences)


def test_no_retry_when_the_rest_of_the_cap_may_not_cover_it(net: Net) -> None:
    job = net.run(
        py("raise SystemExit(3)", cap=worst_price(DEFAULT_ASK, 10), timeout_s=10, retries={"failures": 5}, name="once")
    )
    # What is left after a paid attempt is less than the worst case of another, unless the attempt cost nothing at all.
    attempts = net.attempts(job)
    assert job.state == "failed"
    assert all(attempt.price == 0 for attempt in attempts[:-1])
    assert job.spent <= worst_price(DEFAULT_ASK, 10)


def test_more_isolation_than_anyone_proved_waits_and_says_why(net: Net) -> None:
    job = py("print(1)", isolation=3)
    quote = net.client.quote(job)
    assert not quote.eligible
    assert [(item.code, item.nodes) for item in quote.excluded] == [("isolation", 2)]
    submitted = net.client.submit(job)
    explained = net.client.explain(submitted.id)
    assert "isolation 2 proved for python jobs where 3 is asked for" in explained.sentences[-2]
    assert net.client.job(submitted.id).state == "queued"
    assert net.client.cancel(submitted.id).state == "cancelled"
    assert net.client.job(submitted.id).spent == 0


def test_a_node_lends_no_more_than_its_owner_said(net: Net) -> None:
    options = ("--cpu-percent", "50", "--memory-percent", "10", "--slots", "1", "--rate", "1 uHYPER", "--label", "x=y")
    net.add_node("small", *options)
    try:
        offered = net.status("small").capabilities
        assert offered is not None
        whole = net.status("node-1").capabilities
        assert whole is not None
        assert (offered.cpu_milli, offered.slots, offered.labels) == (whole.cpu_milli // 2, 1, {"x": "y"})
        assert offered.memory_bytes < whole.memory_bytes // 4
        fits = net.run(py("print('cheap')"))
        assert net.attempts(fits)[0].node == net.key("small"), "the cheapest node that fits gets the job"
        large = py("print('large')", resources={"cpu_milli": whole.cpu_milli})
        assert {item.code for item in net.client.quote(large).excluded} == {"cpu"}
        assert net.attempts(net.run(large))[0].node != net.key("small")
    finally:
        process = net.network.nodes.pop("small")
        process.terminate()
        process.wait(30)


def test_jobs_with_the_same_lock_build_its_environment_once(net: Net) -> None:
    """A folder that was built again is another one, even at the same place."""
    lock = resolve_requirements(["six"])
    code = "import os, six; print(six.__file__, os.stat('/env').st_ino)"
    jobs = [net.client.submit(py(code, lock=lock, name=f"lock-{n}")) for n in range(6)]
    seen: dict[str, set[str]] = {}
    for job in jobs:
        ended = net.client.wait(job.id, 60)
        assert ended.state == "succeeded", net.client.explain(job.id).sentences
        place, folder = net.output(job).split()
        assert place.startswith("/env/")
        seen.setdefault(net.name_of(net.attempts(job)[0].node), set()).add(folder)
    assert all(len(folders) == 1 for folders in seen.values()), seen
    for name, folders in seen.items():
        built = [
            path for path in net.home(name).environments.iterdir() if list(path.glob("lib/*/site-packages/six.py"))
        ]
        assert [str(path.stat().st_ino) for path in built] == list(folders)
