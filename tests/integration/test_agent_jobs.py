"""One lease after another on a real agent in a real sandbox, against a fake coordinator with real signatures."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent import plan
from hypernode.agent.agent import Agent
from hypernode.agent.attempt import Attempt
from hypernode.agent.environments import EnvironmentCache
from hypernode.agent.sandboxes.base import Capabilities
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.agent.work import Work
from hypernode.jobs.model import JobDocument, encode
from hypernode.kernel import limits
from hypernode.ledger.receipt import Outcome, encode_body, work_id
from hypernode.protocol.messages import Cancel, Closing, Drop, Lease, LeaseRef, LogAck, Refuse, Report, Running
from integration.agent_fake import Fake, job, make_home, serving
from integration.wasm_modules import compile_text, module

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the sandbox's full strength needs Linux and root"
)


class Proved(BubblewrapSandbox):
    """The real sandbox, taken at its word: what it can prove is tested elsewhere and takes seconds."""

    async def probe(self) -> Capabilities:
        return Capabilities(backend="bubblewrap", isolation=2, proved=("memory",), failed=())


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter's copy and environments that all these tests share."""
    folder = tmp_path_factory.mktemp("agent-store")
    interpreters.prepare(folder)
    (folder / "wasm").mkdir()
    return folder


class Network:
    """A fake coordinator and a node of it."""

    def __init__(self, path: Path, store: Path, fake: Fake) -> None:
        self.fake = fake
        self.store = store
        self.home = make_home(path, fake)
        (self.home.store / "python").symlink_to(store / "python")
        self.home.wasm.rmdir()
        self.home.wasm.symlink_to(store / "wasm")
        self.agent = Agent(self.home)

    @asynccontextmanager
    async def agent_running(self, *, drain_s: float = 60.0, wasm: bool = False) -> AsyncIterator[Agent]:
        python = interpreters.prepare(self.store)
        environments = EnvironmentCache(self.store / "environments", python)
        sandbox = Proved(self.home.sandbox, python)
        self.agent = agent = Agent(self.home, sandbox=sandbox, environments=environments, drain_s=drain_s, wasm=wasm)
        running = asyncio.create_task(agent.run())
        welcomed = asyncio.create_task(self.fake.welcomed.wait())
        await asyncio.wait({running, welcomed}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            welcomed.cancel()
            running.result()
        try:
            yield agent
        finally:
            agent.stop(now=True)
            await running

    def files(self) -> list[str]:
        return sorted(path.name for folder in (self.home.spool, self.home.logs) for path in folder.iterdir())


@pytest.fixture
async def network(tmp_path: Path, store: Path) -> AsyncIterator[Network]:
    async with serving(Fake()) as fake:
        yield Network(tmp_path / "node", store, fake)


async def until(agent: Agent, true: Callable[[], bool]) -> None:
    """Until something is true of the node's leases or their files."""
    async with asyncio.timeout(30):
        while not true():
            agent._executor.changed.clear()
            await agent._executor.changed.wait()


async def settled(agent: Agent) -> None:
    """Until the node owes nothing."""
    await until(agent, lambda: not agent.status().leases)


async def test_runs_a_job_and_signs_what_happened(network: Network) -> None:
    fake = network.fake
    data = fake.add(b"41")
    code = (
        "import os, sys; n = int(open('/in/sub/n.txt').read()) + 1; print('n is', n); print('oops', file=sys.stderr);"
        "os.mkdir('d'); open('d/n.txt', 'w').write(str(n)); open('unwanted', 'w').write('x');"
        "print(os.environ['HYPERNODE_ATTEMPT'], os.environ['I'], os.environ['HYPERNODE_ARRAY_SIZE'], os.environ['X'])"
    )
    document = job(
        code,
        inputs={"sub/n.txt": {"sha256": data.sha256, "size_bytes": data.size_bytes}},
        outputs=["d/n.txt"],
        environment={"X": "y", "HYPERNODE_ATTEMPT": "99"},
        array={"size": 5, "index_variable": "I"},
    )
    async with network.agent_running() as agent:
        lease = fake.lease(document, task=3, epoch=7)
        assert isinstance(await fake.next(), Running)
        body = await fake.result()
        assert fake.text(lease) == "n is 42\n7 3 5 y\n"
        assert fake.text(lease, 2) == "oops\n"
        assert (body.work.outcome, body.work.exit_code, body.work.task) == (Outcome.EXITED, 0, 3)
        assert [output.path for output in body.work.outputs] == ["d/n.txt"]
        assert fake.artifacts[body.work.outputs[0].sha256] == b"42"
        assert (body.run.epoch, body.run.isolation, body.run.node) == (7, 2, network.home.key().public)
        assert body.run.memory_peak_bytes > 0
        await settled(agent)
        assert (agent.status().totals.done, agent.status().totals.earned) == (1, 90)
        await until(agent, lambda: network.files() == [])
        assert any(lease in beat.leases for beat in fake.heartbeats) or fake.heartbeats


async def test_what_has_ended_is_freed_without_the_collector(network: Network) -> None:
    fake = network.fake
    gc.disable()  # under load it would walk through thousands of leases, to find those that point at themselves
    try:
        async with network.agent_running() as agent:
            for document in (job("print(1)"), job("raise SystemExit(1)"), job("pass", outputs=["there.txt"])):
                fake.lease(document)
                await fake.result()
            await settled(agent)
            await until(agent, lambda: network.files() == [])
            assert not [thing for thing in gc.get_objects() if type(thing) in (Attempt, Work)]  # proxies may be dead
    finally:
        gc.enable()


async def test_how_jobs_end(network: Network) -> None:
    fake = network.fake
    ends = [
        (job("raise SystemExit(3)"), Outcome.EXITED, 3, None),
        (job("import os; os.kill(os.getpid(), 11)"), Outcome.SIGNALLED, None, 11),
        (job("import time; time.sleep(60)", timeout_s=1), Outcome.TIMEOUT, None, None),
        (job("x = bytearray(1 << 30)"), Outcome.OUT_OF_MEMORY, None, None),
        (job("pass", outputs=["there.txt"]), Outcome.OUTPUT_MISSING, 0, None),
        (job("pass", outputs=["*.txt"]), Outcome.EXITED, 0, None),
        (job("raise SystemExit(1)", outputs=["there.txt"]), Outcome.EXITED, 1, None),
        (job("import os; os.symlink('/etc/passwd', 'a')", outputs=["a"]), Outcome.OUTPUT_LIMIT, 0, None),
        (job("import os; open(b'\\xff', 'w')", outputs=["**"]), Outcome.OUTPUT_LIMIT, 0, None),
    ]
    async with network.agent_running():
        for document, outcome, exit_code, signal in ends:
            lease = fake.lease(document)
            body = await fake.result()
            found = (body.work.outcome, body.work.exit_code, body.work.signal)
            assert found == (outcome, exit_code, signal), fake.text(lease, 2)


async def test_a_flood_of_log_stays_below_its_bound(network: Network) -> None:
    flood = "import os\nwhile True:\n    os.write(1, b'x' * 65536)"
    tiny = "import os\nwhile True:\n    os.write(1, b'x'); os.write(2, b'y')"
    async with network.agent_running():
        network.fake.lease(job(flood))
        body = await network.fake.result()
        assert body.work.outcome is Outcome.LOG_LIMIT
        assert limits.LOG_BYTES // 2 < body.run.log_bytes <= limits.LOG_BYTES
        network.fake.lease(job(tiny, timeout_s=3))
        body = await network.fake.result()
        assert body.work.outcome in (Outcome.TIMEOUT, Outcome.LOG_LIMIT)
        assert body.run.log_bytes <= limits.LOG_BYTES


async def test_bytes_in_equal_bytes_out_through_broken_transfers(network: Network) -> None:
    fake = network.fake
    data = os.urandom(20 << 20)
    inputs = {}
    for name, content in (("empty", b""), ("one", b"1"), ("large", data)):
        ref = fake.add(content)
        inputs[name] = {"sha256": ref.sha256, "size_bytes": ref.size_bytes}
    fake.break_downloads = [0, 0, 7 << 20, 1 << 20]
    fake.break_uploads = [1, 3 << 20]
    code = "for n in ('empty', 'one', 'large'):\n    open(n, 'wb').write(open('/in/' + n, 'rb').read()[::-1])"
    async with network.agent_running() as agent:
        resources = {"memory_bytes": "512MiB", "disk_bytes": "64MiB"}
        document = job(code, inputs=inputs, outputs=["empty", "one", "large"], resources=resources)
        fake.lease(document)
        body = await fake.result()
        assert {output.path: output.size_bytes for output in body.work.outputs} == {
            "empty": 0,
            "one": 1,
            "large": len(data),
        }
        assert fake.artifacts[hashlib.sha256(data[::-1]).hexdigest()] == data[::-1]
        assert not fake.break_downloads and not fake.break_uploads
        assert any(wanted != "bytes=0-" for wanted in fake.ranges)
        before = len(fake.requests)
        await settled(agent)
        fake.lease(document)
        await fake.result()
        assert not [path for method, path in fake.requests[before:] if method == "GET"]  # all inputs were kept


async def test_tampered_and_missing_inputs_are_refused(network: Network) -> None:
    fake = network.fake
    ref = fake.add(b"real")
    wanted = {"a": {"sha256": ref.sha256, "size_bytes": 4}}
    async with network.agent_running():
        fake.corrupt = True
        fake.lease(job(inputs=wanted))
        refuse = await fake.next(Refuse)
        assert (refuse.code, refuse.job_fault) == ("artifact.hash_mismatch", False)
        fake.artifacts.clear()
        fake.lease(job(inputs=wanted))
        assert (await fake.next(Refuse)).code == "not_found"


async def test_a_bad_lock_is_the_jobs_fault(network: Network) -> None:
    ref = network.fake.add(b"--index-url https://evil.example\nnumpy\n")
    runtime = {"type": "python", "code": "pass", "requirements": {"sha256": ref.sha256, "size_bytes": ref.size_bytes}}
    async with network.agent_running():
        network.fake.lease(job(runtime=runtime))
        refuse = await network.fake.next(Refuse)
        assert (refuse.code, refuse.job_fault) == ("environment.bad_lock", True)


async def test_what_does_not_fit_is_refused(network: Network) -> None:
    fake = network.fake
    async with network.agent_running():
        fake.lease(job(resources={"cpu_milli": 1_000_000, "memory_bytes": "64MiB"}))
        assert (await fake.next(Refuse)).code == "node.busy"
        fake.lease(job(isolation=3))
        assert (await fake.next(Refuse)).code == "node.isolation"


async def test_cancel_while_running_and_drop(network: Network) -> None:
    fake = network.fake
    async with network.agent_running() as agent:
        lease = fake.lease(job("import time; print('up'); time.sleep(60)"))
        await fake.next(Running)
        await asyncio.wait_for(fake.log_arrived.wait(), 10)
        fake.send(Cancel(lease))
        body = await fake.result()
        assert body.work.outcome is Outcome.CANCELLED
        assert body.run.cpu_ms > 0
        await settled(agent)

        lease = fake.lease(job("import time; time.sleep(60)"))
        await fake.next(Running)
        fake.send(Drop(lease, "lease.stale"))
        await settled(agent)
        fake.lease(job("print('still here')"))
        assert (await fake.result()).work.exit_code == 0
        assert fake.seen.empty()


async def test_a_job_outlives_its_connection(network: Network) -> None:
    fake = network.fake
    async with network.agent_running():
        fake.ack_logs = False
        lease = fake.lease(job("import time; print('one'); time.sleep(2); print('two')"))
        await fake.next(Running)
        await asyncio.wait_for(fake.log_arrived.wait(), 10)
        fake.logs.clear()  # what was not acknowledged is lost
        fake.ack_logs = True
        fake.cut()
        assert isinstance(await fake.next(), Running)  # said again on the next connection
        body = await fake.result()
        assert body.work.exit_code == 0
        assert fake.text(lease) == "one\ntwo\n"
        assert len(fake.hellos) == 2
        assert fake.hellos[1].holds == (lease,)


async def test_results_survive_a_restart_until_acknowledged(network: Network) -> None:
    fake = network.fake
    fake.ack_reports = False
    async with network.agent_running(drain_s=0.0):
        kept = fake.lease(job("open('o', 'w').write('x' * 9); print('log')", outputs=["o"]))
        report = await fake.next(Report)
        lost = fake.lease(job("import time; time.sleep(60)"))
        await fake.next(Running)
        # As if killed: what runs stays in the journal without a result.
        network.agent._executor.hand_back = lambda: None  # type: ignore[method-assign]
        fake.seen = asyncio.Queue()
    assert len(network.files()) >= 2
    fake.welcomed.clear()
    fake.logs.clear()
    fake.uploads.clear()
    fake.artifacts.clear()
    fake.ack_reports = True
    async with network.agent_running() as agent:
        refuse = await fake.next(Refuse)
        assert (refuse.lease, refuse.code, refuse.job_fault) == (lost, "node.restarted", False)
        again = await fake.next(Report)
        assert (again.lease, again.body, again.signature) == (kept, report.body, report.signature)
        assert fake.text(kept) == "log\n"
        await settled(agent)
        assert set(fake.hellos[-1].holds) == {kept, lost}
        assert agent.status().totals.done == 1
        await until(agent, lambda: network.files() == [])


async def test_a_settled_result_whose_acknowledgement_got_lost_is_counted(network: Network) -> None:
    fake = network.fake
    fake.ack_reports = False
    async with network.agent_running() as agent:
        lease = fake.lease(job("print('log')"))
        await fake.next(Report)
        fake.cut()
        await asyncio.wait_for(fake.welcomed.wait(), 10)
        fake.ack_reports = True
        fake.send(Drop(lease, "lease.stale"))  # a heartbeat named what the coordinator holds to be over
        await fake.next(Report)
        await settled(agent)
        assert (agent.status().totals.done, agent.status().totals.failed) == (1, 0)


async def test_a_log_that_the_coordinator_lost_goes_again_before_the_report(network: Network) -> None:
    fake = network.fake
    fake.ack_reports = False
    async with network.agent_running() as agent:
        lease = fake.lease(job("import os\nfor _ in range(40): os.write(1, b'z' * 65536)"))
        await fake.next(Report)
        del fake.logs[lease][1000:]
        fake.ack_reports = True
        fake.cut()
        await fake.next(Report)  # the fake compares its log with the receipt
        await settled(agent)
        assert len(fake.logs[lease]) > 40 * 65536


async def test_leases_dropped_at_connect_are_forgotten(network: Network) -> None:
    fake = network.fake
    async with network.agent_running() as agent:
        lease = fake.lease(job("import time; time.sleep(60)"))
        await fake.next(Running)
        fake.drop_at_welcome = (lease,)
        fake.cut()
        await settled(agent)
        assert agent.status().totals.failed == 1


async def test_a_coordinator_that_wants_nothing_of_it_ends_the_agent(network: Network) -> None:
    network.fake.refuse_hello = Closing("node.revoked", "its project took it out", retry=False)
    with pytest.raises(Exception, match=r"node\.revoked") as caught:
        async with network.agent_running():
            pass
    assert getattr(caught.value, "code", "") == "node.connection_refused"


async def test_stopping_finishes_what_runs_and_takes_nothing_new(network: Network) -> None:
    fake = network.fake
    async with network.agent_running() as agent:
        fake.lease(job("import time; time.sleep(1); print('done')"))
        await fake.next(Running)
        agent.stop()
        fake.lease(job("pass"))
        assert (await fake.next(Refuse)).code == "node.stopping"
        assert (await fake.result()).work.exit_code == 0


async def test_stopping_now_hands_back(network: Network) -> None:
    fake = network.fake
    async with network.agent_running() as agent:
        fake.lease(job("import time; time.sleep(60)"))
        await fake.next(Running)
        agent.stop(now=True)
        assert (await fake.next(Refuse)).code == "node.stopping"
        await settled(agent)


async def test_cancelled_before_it_started_is_given_back(network: Network) -> None:
    fake = network.fake
    ref = fake.add(b"x" * 1000)
    fake.break_downloads = [0] * 1000  # it never gets its input
    document = job(inputs={"a": {"sha256": ref.sha256, "size_bytes": 1000}})
    async with network.agent_running():
        lease = fake.lease(document)
        await asyncio.wait_for(fake.asked.wait(), 10)
        fake.send(Cancel(lease))
        refuse = await fake.next(Refuse)
        assert (refuse.lease, refuse.code, refuse.job_fault) == (lease, "cancelled", False)
        both = LeaseRef(os.urandom(16), 0, 1)
        fake.send(Lease(both, encode(document), 1), Cancel(both))  # in one frame: before its task's first step
        assert (await fake.next(Refuse)).lease == both


async def test_what_runs_beyond_the_drain_bound_is_handed_back(network: Network) -> None:
    fake = network.fake
    async with network.agent_running(drain_s=0.1) as agent:
        fake.lease(job("import time; time.sleep(60)"))
        await fake.next(Running)
        agent.stop()
        assert (await fake.next(Refuse)).code == "node.stopping"


async def test_a_bug_ends_the_agent_loudly(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Proved, "prepare", broken)

    async def run() -> None:
        async with network.agent_running() as agent:
            network.fake.lease(job())
            await asyncio.wait_for(agent.ended.wait(), 30)

    with pytest.raises(KeyError, match="a bug"):
        await run()


async def test_the_log_window_is_kept(network: Network) -> None:
    fake = network.fake
    fake.ack_logs = False
    async with network.agent_running():
        lease = fake.lease(job("import os\nfor _ in range(64): os.write(1, b'z' * 65536)\nimport time; time.sleep(1)"))
        await fake.next(Running)
        await asyncio.sleep(0.8)  # nothing to wait for: what must not come cannot be signalled
        assert len(fake.logs[lease]) <= limits.LOG_WINDOW_BYTES
        fake.ack_logs = True
        fake.send(LogAck(lease, len(fake.logs[lease])))
        body = await fake.result()
        assert body.run.log_bytes > 4 << 20


def test_lease_keys_are_file_names() -> None:
    assert (
        plan.lease_key(LeaseRef(bytes(16), 99_999, 2**31 - 1))
        == f"{'00000000-0000-0000-0000-' + '0' * 12}-99999-2147483647"
    )


async def test_a_webassembly_module(network: Network) -> None:
    """Offered once it was proved, run like any other job, its fuel in the receipt; one that is none comes back."""
    fake = network.fake

    def wasm(data: bytes, **runtime: object) -> JobDocument:
        ref = fake.add(data)
        inputs = {"m.wasm": {"sha256": ref.sha256, "size_bytes": ref.size_bytes}}
        return job(runtime={"type": "wasm", "module": "m.wasm", **runtime}, inputs=inputs)

    async with network.agent_running(wasm=True) as agent:
        offered = fake.hellos[0].capabilities
        assert offered.runtimes == ("python", "wasm")
        assert [sandbox.failed for sandbox in offered.sandboxes] == [()]
        says = wasm(module("(call $put $0) (call $exit (i32.const 3))", "hello"))
        bodies = []
        for epoch in (1, 2):
            lease = fake.lease(says, epoch=epoch)
            bodies.append(await fake.result())
            assert fake.text(lease) == "hello"
        body = bodies[0]
        assert (body.work.outcome, body.work.exit_code) == (Outcome.EXITED, 3)
        assert body.run.sandbox.startswith("bubblewrap wasmtime/")
        assert body.run.fuel
        assert bodies[1].run.fuel == body.run.fuel
        assert work_id(bodies[1].work) == work_id(body.work)
        fake.lease(wasm(module("(loop $again (br $again))"), fuel=5000))
        body = await fake.result()
        assert (body.work.outcome, body.work.exit_code, body.run.fuel) == (Outcome.OUT_OF_FUEL, None, 5000)
        fake.lease(wasm(compile_text("(module)")))
        refuse = await fake.next(Refuse)
        assert (refuse.code, refuse.job_fault) == ("wasm.bad_module", True)
        await settled(agent)
    assert b'"fuel"' not in encode_body(msgspec.structs.replace(body, run=msgspec.structs.replace(body.run, fuel=None)))


async def test_a_node_without_webassembly_gives_a_module_back(network: Network) -> None:
    fake = network.fake
    ref = fake.add(module("(call $exit (i32.const 0))"))
    inputs = {"m.wasm": {"sha256": ref.sha256, "size_bytes": ref.size_bytes}}
    async with network.agent_running(wasm=False) as agent:
        assert fake.hellos[0].capabilities.runtimes == ("python",)
        fake.lease(job(runtime={"type": "wasm", "module": "m.wasm"}, inputs=inputs))
        refuse = await fake.next(Refuse)
        assert (refuse.code, refuse.job_fault) == ("node.no_runtime", False)
        await settled(agent)
