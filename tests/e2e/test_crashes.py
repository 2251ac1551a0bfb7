"""Processes die or freeze at the worst moment; no acknowledged job is lost, none is paid twice."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil

from e2e.network import FIRST_NEVER_ENDS, PATIENT, Net, job_processes, py, settles, until
from hypernode.agent.status import AgentState
from hypernode.client import Client
from hypernode.kernel.errors import HypernodeError


def pause(seconds: float) -> str:
    """A job that runs for a while and says so at both ends."""
    return f"import time; print('begin'); time.sleep({seconds}); print('end')"


def test_a_killed_node_loses_its_attempt_and_the_job_is_retried(fragile: Net) -> None:
    job = fragile.client.submit(py(FIRST_NEVER_ENDS))
    fragile.until_said(job.id, "attempt 1")
    name = fragile.name_of(fragile.until_running(job.id).node)
    home = fragile.home(name).path
    assert job_processes(home), "no process of the job is seen: the test proves nothing"
    fragile.kill_node(name)
    assert settles(lambda: [str(pid) for pid in job_processes(home)], 5) == []
    fragile.network.start_node(name)
    assert fragile.client.wait(job.id, 30).state == "succeeded"
    first, second = fragile.attempts(job)
    assert (first.state, first.price, second.state) == ("lost", 0, "accepted")
    assert first.cause in ("node.restarted", "node.forgot", "lease.expired")
    fragile.settled_once(job, epoch=2)
    assert fragile.output(job) == "attempt 2\n"
    fragile.check_ledger()


def test_a_killed_coordinator_loses_nothing_and_nothing_runs_twice(fragile: Net) -> None:
    before = fragile.check_ledger()
    client, needs = fragile.client, {"cpu_milli": 1000}
    # Long enough that even on a busy machine all four still run when the coordinator is killed.
    short = [client.submit(py(pause(4), resources=needs)).id for _ in range(2)]
    long = [client.submit(py(pause(9), resources=needs)).id for _ in range(2)]
    for job_id in (*short, *long):
        fragile.until_said(job_id, "begin")
    queued = [client.submit(py(pause(0), resources=needs)).id for _ in range(3)]
    fragile.kill_coordinator()
    until(lambda: sum(fragile.status(name).unsent for name in fragile.network.nodes) == len(short), 20)
    fragile.network.start_coordinator()
    everything = [*short, *long, *queued]
    for job_id in everything:
        assert client.wait(job_id, 60).state == "succeeded"
        attempts = fragile.attempts(job_id)
        assert [attempt.epoch for attempt in attempts] == [1], attempts
        assert fragile.output(job_id) == "begin\nend\n"
        fragile.settled_once(job_id)
    assert fragile.check_ledger() == before + len(everything)
    assert client.account().escrow == 0


def test_node_and_coordinator_killed_together(fragile: Net) -> None:
    before = fragile.check_ledger()
    job = fragile.client.submit(py(FIRST_NEVER_ENDS))
    fragile.until_said(job.id, "attempt 1")
    name = fragile.name_of(fragile.until_running(job.id).node)
    fragile.network.nodes[name].send_signal(signal.SIGKILL)
    fragile.kill_coordinator()
    fragile.kill_node(name)
    waiting = fragile.network.folder / "nodes" / name
    fragile.network.start_coordinator()
    fragile.network.start_node(name)
    assert fragile.client.wait(job.id, 30).state == "succeeded"
    assert [(attempt.state, attempt.epoch) for attempt in fragile.attempts(job)] == [("lost", 1), ("accepted", 2)]
    fragile.settled_once(job, epoch=2)
    assert fragile.check_ledger() == before + 1
    assert settles(lambda: [str(pid) for pid in job_processes(waiting)]) == []


def test_a_killed_postmaster_comes_back_and_no_acknowledged_job_is_lost(fragile: Net) -> None:
    postmaster = fragile.network.postmaster_pid
    assert postmaster is not None
    running = fragile.client.submit(py(pause(6)))
    fragile.until_said(running.id, "begin")
    acknowledged: list[str] = []
    stop, enough = threading.Event(), threading.Event()

    def submit_until_told() -> None:
        with Client(fragile.network.url, fragile.network.client_key, retry=PATIENT) as client:
            while not stop.is_set():
                acknowledged.append(client.submit(py("print('here')")).id)
                if len(acknowledged) >= 10:
                    enough.set()

    with ThreadPoolExecutor(2) as pool:
        load = [pool.submit(submit_until_told) for _ in range(2)]
        try:
            assert enough.wait(30)
            os.kill(postmaster, signal.SIGKILL)
            until(lambda: not psutil.pid_exists(postmaster) or _is_zombie(postmaster), 10)
            seen = len(acknowledged)
            until(lambda: len(acknowledged) > seen + 4, 30)  # submissions are taken again
        finally:
            stop.set()
        for future in load:
            future.result(60)
    for job_id in acknowledged:
        assert fragile.client.wait(job_id, 90).state == "succeeded"
        assert len(list(fragile.client.receipts(job_id))) == 1
    assert fragile.client.wait(running.id, 30).state == "succeeded"
    assert [attempt.epoch for attempt in fragile.attempts(running)] == [1]
    fragile.settled_once(running)
    assert fragile.client.account().escrow == 0


def test_a_frozen_node_comes_back_too_late_and_is_not_paid(fragile: Net) -> None:
    before = fragile.check_ledger()
    # While frozen the first attempt cannot end; thawed it ends at once and has a result to offer.
    code = "import os, time; print('begin'); time.sleep(2 if os.environ['HYPERNODE_ATTEMPT'] == '1' else 0)"
    job = fragile.client.submit(py(code))
    fragile.until_said(job.id, "begin")
    frozen = fragile.name_of(fragile.until_running(job.id).node)
    earned, failed = fragile.status(frozen).totals.earned, fragile.status(frozen).totals.failed
    tree = fragile.tree(frozen)
    for process in tree:
        process.suspend()
    try:
        ended = fragile.client.wait(job.id, 30)
    finally:
        for process in reversed(tree):
            process.resume()
    assert ended.state == "succeeded"
    first, second = fragile.attempts(job)
    assert (first.state, first.cause, first.price) == ("lost", "lease.expired", 0)
    assert second.state == "accepted"
    assert fragile.name_of(second.node) != frozen
    until(lambda: _at_rest(fragile, frozen), 20)
    totals = fragile.status(frozen).totals
    assert (totals.failed, totals.earned) == (failed + 1, earned)
    assert f"{job.id}-0-1 dropped" in fragile.agent_log(frozen)
    fragile.settled_once(job, epoch=2)
    assert fragile.check_ledger() == before + 1


def test_a_result_finished_while_frozen_out_is_refused(fragile: Net) -> None:
    """The node's agent alone is frozen: its job runs on to its end, unseen, and the lease runs out."""
    before = fragile.check_ledger()
    job = fragile.client.submit(py("import time; print('begin'); time.sleep(1)"))
    fragile.until_said(job.id, "begin")
    frozen = fragile.name_of(fragile.until_running(job.id).node)
    failed = fragile.status(frozen).totals.failed
    agent = psutil.Process(fragile.network.nodes[frozen].pid)
    agent.suspend()
    try:
        ended = fragile.client.wait(job.id, 30)
        assert settles(lambda: [str(pid) for pid in job_processes(fragile.home(frozen).path)]) == []
    finally:
        agent.resume()
    assert ended.state == "succeeded"
    assert [(attempt.state, attempt.price > 0) for attempt in fragile.attempts(job)] == [
        ("lost", False),
        ("accepted", True),
    ]
    until(lambda: _at_rest(fragile, frozen), 20)
    assert fragile.status(frozen).totals.failed == failed + 1
    fragile.settled_once(job, epoch=2)
    assert fragile.check_ledger() == before + 1


def _at_rest(net: Net, name: str) -> bool:
    try:
        status = net.status(name)
    except HypernodeError:
        return False
    return status.state is AgentState.ONLINE and not status.leases


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
