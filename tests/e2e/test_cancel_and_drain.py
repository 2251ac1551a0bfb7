"""Jobs that are cancelled wherever they are, and nodes that leave in order."""

from __future__ import annotations

import subprocess
import sys
import time

from e2e.network import Net, hypernode, job_processes, py, settles, until
from hypernode.client import resolve_requirements

ENDLESS = "import time; print('begin'); time.sleep(600)"
STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("begin")
while True:
    time.sleep(60)
"""


def test_a_queued_job_costs_nothing(net: Net) -> None:
    before = net.client.account()
    job = net.client.submit(py("print(1)", isolation=3, cap="2 HYPER"))
    assert net.client.account().escrow == before.escrow + 2_000_000
    cancelled = net.client.cancel(job.id)
    assert (cancelled.state, cancelled.spent, cancelled.held) == ("cancelled", 0, 0)
    assert net.client.account() == before
    assert list(net.client.receipts(job.id)) == []


def test_a_running_job_stops_at_once_and_is_paid_for_its_time_only(net: Net) -> None:
    job = net.client.submit(py(STUBBORN, timeout_s=600))
    net.until_said(job.id, "begin")
    name = net.name_of(net.until_running(job.id).node)
    net.client.cancel(job.id)
    ended = net.client.wait(job.id, 10)  # it ignores every signal it can
    assert ended.state == "cancelled"
    task = net.task(job)
    assert task.outcome == "cancelled"
    (receipt,) = net.check_receipts(job)
    assert receipt.decision.billed_ms <= receipt.body.run.wall_ms < 30_000
    assert ended.spent == receipt.decision.split.price <= receipt.decision.billed_ms // 10
    assert settles(lambda: [str(pid) for pid in job_processes(net.home(name).path)], 5) == []
    net.settled_once(job)


def test_a_preparing_job_is_given_up_unpaid(fragile: Net) -> None:
    """A large package takes seconds to install on a node that never saw it."""
    lock = resolve_requirements(["numpy"])
    job = fragile.client.submit(py("print('never')", lock=lock))
    fragile.until(job.id, lambda event: event.kind == "task.leased")
    fragile.client.cancel(job.id)
    ended = fragile.client.wait(job.id, 30)
    assert (ended.state, ended.spent, ended.held) == ("cancelled", 0, 0)
    (attempt,) = fragile.attempts(job)
    assert (attempt.state, attempt.cause, attempt.started_at) == ("lost", "cancelled", None)
    assert list(fragile.client.receipts(job.id)) == []


def test_an_array_cancelled_half_way_keeps_what_it_has(net: Net) -> None:
    code = """
import os, time
index = int(os.environ["HYPERNODE_ARRAY_INDEX"])
print("begin", index)
time.sleep(0 if index < 2 else 600)
"""
    job = net.client.submit(py(code, array={"size": 8}, resources={"cpu_milli": 1000}, timeout_s=600))
    for first in (0, 1):
        net.until(job.id, lambda event, task=first: (event.kind, event.task) == ("task.accepted", task))  # type: ignore[misc]
    for index in (2, 3, 4, 5):
        net.until_running(job.id, task=index)
    net.client.cancel(job.id)
    found = net.client.wait(job.id, 20)
    assert (found.state, found.tasks.succeeded, found.tasks.cancelled, found.held) == ("cancelled", 2, 6, 0)
    receipts = net.check_receipts(job, 6)  # two that ended, four that ran; two never left the queue
    assert found.spent == sum(receipt.decision.split.price for receipt in receipts)


def test_cancelling_what_has_ended_is_refused(net: Net) -> None:
    job = net.run(py("print(1)"))
    done = hypernode("cancel", job.id, HYPERNODE_URL=net.network.url, HYPERNODE_API_KEY=net.network.client_key)
    assert done.returncode == 2
    assert "[job.ended]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stopped_node_finishes_what_runs(fragile: Net) -> None:
    job = fragile.client.submit(py("import time; print('begin'); time.sleep(3); print('end')"))
    fragile.until_said(job.id, "begin")
    name = fragile.name_of(fragile.until_running(job.id).node)
    done = hypernode("node:stop", "--home", str(fragile.home(name).path))
    assert done.returncode == 0, done.stderr
    assert fragile.network.nodes[name].wait(10) == 0
    assert fragile.client.wait(job.id, 10).state == "succeeded"
    assert fragile.output(job) == "begin\nend\n"
    fragile.settled_once(job)
    _until_state(fragile, name, "offline", within_s=1.5)  # it said goodbye: nobody waits for its lease of 3 s


def test_a_draining_node_takes_nothing_new_and_one_stopped_now_hands_back(fragile: Net) -> None:
    job = fragile.client.submit(
        py("import os, time; print('begin'); time.sleep(600 if os.environ['HYPERNODE_ATTEMPT'] == '1' else 0)")
    )
    fragile.until_said(job.id, "begin")
    name = fragile.name_of(fragile.until_running(job.id).node)
    home = str(fragile.home(name).path)
    draining = subprocess.Popen(
        [sys.executable, "-m", "hypernode", "node:stop", "--home", home], stderr=subprocess.DEVNULL
    )
    try:
        _until_state(fragile, name, "draining")
        other = fragile.run(py("print('elsewhere')"))
        assert fragile.name_of(fragile.attempts(other)[0].node) != name
        began = time.monotonic()
        done = hypernode("node:stop", "--now", "--home", home)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 30
    finally:
        assert draining.wait(30) == 0
    assert fragile.network.nodes[name].wait(10) == 0
    assert fragile.client.wait(job.id, 30).state == "succeeded"
    first, second = fragile.attempts(job)
    assert (first.state, first.cause, first.price) == ("lost", "node.stopping", 0)
    assert fragile.name_of(second.node) != name
    fragile.settled_once(job, epoch=2)


def _until_state(net: Net, name: str, state: str, within_s: float = 20) -> None:
    until(lambda: {node.node: node.state for node in net.client.nodes()}[net.key(name)] == state, within_s)
