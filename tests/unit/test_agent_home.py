"""Homes, journals, trust, and what of a document becomes a task and a verdict."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from hypernode.agent import plan, trust
from hypernode.agent.capabilities import offer
from hypernode.agent.collect import Accepted, Collected, Refusal, Rejected
from hypernode.agent.environments import Environment
from hypernode.agent.hardware import Hardware
from hypernode.agent.home import Config, Home, HomeDamaged, HomeInUse, NotANode, Policy
from hypernode.agent.journal import Finished, Journal, JournalDamaged, JournalFailed, Totals, read_totals
from hypernode.agent.refusal import GiveBack, giving_back
from hypernode.agent.sandboxes.base import Mount, Reason, SandboxError, Usage
from hypernode.agent.sandboxes.base import Outcome as SandboxOutcome
from hypernode.jobs.model import JobDocument, encode, parse
from hypernode.kernel.errors import Forbidden, InvalidInput, InvariantViolated
from hypernode.ledger.receipt import Outcome, decode_body, encode_body
from hypernode.nodes.model import SandboxOffer
from hypernode.protocol.messages import LeaseRef

LEASE = LeaseRef(b"\x01" * 16, 4, 2)
USAGE = Usage(wall_ms=10, cpu_ms=5, memory_peak_bytes=100, log_bytes=0)
ENVIRONMENT = Environment(
    path=Path("/e"),
    python="/env/bin/python",
    key="k",
    size_bytes=1,
    mounts=(Mount(Path("/e"), "/env"),),
    environment={"PATH": "/env/bin:/bin"},
)


def document(**fields: object) -> JobDocument:
    return parse({"version": 1, "cap": 1, "runtime": {"type": "python", "code": "pass"}, **fields})


def config(**fields: object) -> Config:
    given = {"name": "n", "addresses": ("http://localhost",), "pinned": False, "coordinator_key": "k"}
    return Config(**{**given, "project_id": "p", "project": "demo", **fields})  # type: ignore[arg-type]


# ── home ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_home_is_private_and_has_one_agent(tmp_path: Path) -> None:
    home = Home(tmp_path / "node")
    assert not home.in_use()
    home.create()
    key = home.key_or_new()
    assert home.key_or_new().public == key.public == home.key().public
    with home.locked():
        assert home.in_use()
        with pytest.raises(HomeInUse, match=r"pid \d+"), Home(tmp_path / "node").locked():
            pass
    assert not home.in_use()
    assert not home.pid_file.exists()


def test_files_of_a_home_that_cannot_be_used(tmp_path: Path) -> None:
    home = Home(tmp_path / "node")
    with pytest.raises(NotANode):
        home.config()
    home.create()
    home.key_or_new()
    home.write_config(config())
    assert home.config() == config()
    home.config_file.write_text('{"version": 1, "nam": "x"}')
    with pytest.raises(HomeDamaged, match="nam"):
        home.config()
    home.key_file.chmod(0o644)
    with pytest.raises(HomeDamaged, match="chmod 600"):
        home.key()
    home.key_file.chmod(0o600)
    home.key_file.write_text("zz")
    with pytest.raises(HomeDamaged):
        home.key()
    (tmp_path / "file").touch()
    with pytest.raises(HomeDamaged):
        Home(tmp_path / "file" / "node").create()


# ── journal ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_journal_keeps_results_until_they_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    refs = [LeaseRef(bytes([number]) * 16, number, 1) for number in range(100)]
    for ref in refs:
        journal.take(ref)
    await asyncio.gather(*(journal.finish(Finished(ref, b"body", b"s" * 64)) for ref in refs[2:]))
    for ref in refs[3:]:
        journal.forget(ref, done=1, earned=7)
    journal.forget(refs[0], failed=1)
    assert journal.totals == Totals(97, 1, 97 * 7)
    journal.close()
    assert read_totals(path) == (Totals(97, 1, 97 * 7), 1)
    again = Journal(path)
    assert again.recovered.interrupted == (refs[1],)
    assert again.recovered.finished == (Finished(refs[2], b"body", b"s" * 64),)
    assert again.totals == Totals(97, 1, 97 * 7)
    again.close()


async def test_a_result_is_on_disk_when_the_journal_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    refs = [LeaseRef(bytes([number]) * 16, number, 1) for number in range(50)]
    for ref in refs:
        journal.take(ref)
    for number, ref in enumerate(refs):
        await journal.finish(Finished(ref, b"body", b"s" * 64))
        assert read_totals(path)[1] == number + 1  # by another connection, as an agent started after a crash would
    journal.forget(refs[0], done=1)
    journal.take(refs[0])  # what is said last is true
    journal.close()
    again = Journal(path)
    assert again.recovered.interrupted == (refs[0],)
    assert [result.lease for result in again.recovered.finished] == refs[1:]
    again.close()


async def test_what_nobody_waits_for_is_written_down_soon(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal.take(LEASE)
    with sqlite3.connect(path) as other:
        async with asyncio.timeout(30):
            while not other.execute("select state from leases").fetchall():
                await asyncio.sleep(0.005)
    other.close()
    journal.close()


def test_a_journal_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(JournalDamaged, match="move it away"):
        Journal(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(JournalDamaged, match="newer hypernode"):
        Journal(path)
    assert read_totals(tmp_path / "none") == (Totals(), 0)


async def test_what_no_column_holds_ends_the_agent_too(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    journal = Journal(tmp_path / "journal.sqlite", failures.append)
    journal.forget(LEASE, done=1, earned=2**63)
    with pytest.raises(JournalFailed):
        await journal.finish(Finished(LEASE, b"body", b"s" * 64))
    assert len(failures) == 1
    journal.close()


async def test_a_journal_that_cannot_be_written_stops_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    failures: list[BaseException] = []
    journal = Journal(path, failures.append)
    other = sqlite3.connect(path)
    other.execute("drop table leases")
    other.commit()
    other.close()
    with pytest.raises(JournalFailed):
        await journal.finish(Finished(LEASE, b"body", b"s" * 64))
    with pytest.raises(JournalFailed):  # nor afterwards: what is on disk is unknown
        await journal.finish(Finished(LEASE, b"body", b"s" * 64))
    assert len(failures) == 1
    journal.close()


# ── trust ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("address", ["", "x", "ftp://h", "http://", "https://u:p@h", "https://h?x", "http://h:99999"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInput):
        trust.parse_address(address, pinned=False, insecure_http=True)


def test_plain_http_only_on_loopback_unless_told() -> None:
    for address in ("http://localhost:1", "http://127.3.4.5", "http://[::1]:80", "https://example.org"):
        trust.parse_address(address, pinned=False, insecure_http=False)
    with pytest.raises(trust.UntrustedCoordinator):
        trust.parse_address("http://example.org", pinned=False, insecure_http=False)
    trust.parse_address("http://example.org", pinned=False, insecure_http=True)
    with pytest.raises(trust.UntrustedCoordinator):  # a pinned certificate could not be checked
        trust.parse_address("http://example.org", pinned=True, insecure_http=True)


# ── plan ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_what_the_document_says() -> None:
    runtime = {"type": "python", "script": "a/b.py", "arguments": ["-x", "ü"]}
    inputs = {"a/b.py": {"sha256": "0" * 64, "size_bytes": 1}}
    made = document(
        runtime=runtime,
        inputs=inputs,
        outputs=["o"],
        environment={"PATH": "/mine", "HYPERNODE_JOB_ID": "forged", "HYPERNODE_OUT": "/etc"},
        array={"size": 9},
        timeout_s=7,
    )
    task = plan.task(LEASE, made, {"0" * 64: Path("/cache/0")}, ENVIRONMENT)
    assert task.argv == ("/env/bin/python", "/in/a/b.py", "-x", "ü")
    assert task.mounts == (Mount(Path("/e"), "/env"), Mount(Path("/cache/0"), "/in/a/b.py"))
    assert (task.working_folder, task.outputs, task.limits.wall_ms) == ("/out", True, 7000)
    variables = task.environment
    assert variables["PATH"] == "/mine"
    assert variables["HYPERNODE_JOB_ID"] == "01010101-0101-0101-0101-010101010101"
    assert variables["HYPERNODE_OUT"] == "/out"
    assert (variables["HYPERNODE_ARRAY_INDEX"], variables["HYPERNODE_ARRAY_SIZE"]) == ("4", "9")
    assert variables["HYPERNODE_ATTEMPT"] == "2"


def test_a_task_without_outputs_works_in_tmp() -> None:
    for runtime, what in (({"module": "json.tool"}, ("-m", "json.tool")), ({"code": "1"}, ("-c", "1"))):
        task = plan.task(LEASE, document(runtime={"type": "python", **runtime}), {}, ENVIRONMENT)
        assert (task.argv[1:], task.working_folder, task.outputs) == (what, "/tmp", False)
        bounds = [getattr(task.limits, name) for name in task.limits.__struct_fields__ if name != "address_bytes"]
        assert all(bound > 0 for bound in bounds) and task.limits.address_bytes is None


def ended(reason: Reason = Reason.EXITED, exit_code: int | None = 0, signal: int | None = None) -> SandboxOutcome:
    return SandboxOutcome(
        reason=reason, exit_code=exit_code, signal=signal, usage=USAGE, disk_full=False, detail="because"
    )


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (ended(), Outcome.EXITED),
        (ended(exit_code=139, signal=11), Outcome.SIGNALLED),
        (ended(Reason.OUT_OF_MEMORY, None), Outcome.OUT_OF_MEMORY),
        (ended(Reason.TIMEOUT, None), Outcome.TIMEOUT),
        (ended(Reason.LOG_LIMIT, None), Outcome.LOG_LIMIT),
        (ended(Reason.DISK_LIMIT, None), Outcome.OUTPUT_LIMIT),
        (ended(Reason.CANCELLED, None), Outcome.CANCELLED),
    ],
)
def test_every_end_makes_a_receipt(end: SandboxOutcome, outcome: Outcome) -> None:
    verdict = plan.judge(document(), end, None)
    assert verdict.outcome is outcome
    body = plan.receipt_body(
        LEASE,
        encode(document()),
        verdict,
        end,
        node="n",
        started_at_ms=5,
        ended_at_ms=4,
        log_bytes=0,
        log_root="0" * 64,
        sandbox="s",
        isolation=2,
        egress=None,
    )
    assert decode_body(encode_body(body)) == body
    assert body.run.ended_at_ms == 5


def test_a_sandbox_that_fails_is_no_result() -> None:
    with pytest.raises(GiveBack, match=r"sandbox\.failed"):
        plan.judge(document(), ended(Reason.INFRASTRUCTURE), None)


def test_outputs_change_only_the_verdict_of_success() -> None:
    made = document(outputs=["a.txt", "*.csv"])
    file = Accepted("a.txt", 1, "0" * 64)
    bad = Rejected("b.csv", Refusal.NOT_REGULAR)
    good = Collected((file,), (), 0)
    assert plan.judge(made, ended(), good).outcome is Outcome.EXITED
    assert plan.judge(made, ended(), Collected((), (), 0)).outcome is Outcome.OUTPUT_MISSING
    limited = plan.judge(made, ended(), Collected((file,), (bad,) * 30, 40))
    assert limited.outcome is Outcome.OUTPUT_LIMIT
    assert len(limited.notes) == plan.NOTED + 1
    failed = plan.judge(made, ended(exit_code=3), Collected((), (bad,), 1))
    assert (failed.outcome, failed.exit_code) == (Outcome.EXITED, 3)


def test_an_offer_is_what_the_owner_lends_of_what_was_proved() -> None:
    machine = Hardware(
        cpu_count=8,
        cpu_model="x" * 999,
        memory_bytes=1000,
        disk_free_bytes=1000,
        system="Linux",
        distribution="",
        architecture="x86_64",
        python_version="3.11.2",
        gpus=(),
    )
    proved = SandboxOffer(name="b", isolation=1, runtimes=("python",), proved=("time",))
    made = offer(machine, config(policy=Policy(cpu_percent=50, memory_percent=10, disk_percent=1)), [proved], "3.11")
    assert (made.cpu_milli, made.memory_bytes, made.disk_bytes, made.slots) == (4000, 100, 10, 8)
    assert (made.isolation, made.runtimes, made.sandboxes) == (1, ("python",), (proved,))


# ── refusal ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SandboxError("sandbox.prepare_failed", "x"), "sandbox.prepare_failed"),
        (Forbidden("x"), "auth.forbidden"),
        (TimeoutError(), "node.too_slow"),
        (OSError(28, "No space left on device"), "node.disk_full"),
        (OSError(5, "Input/output error"), "node.io_error"),
    ],
)
def test_expected_errors_give_a_lease_back(error: Exception, code: str) -> None:
    with pytest.raises(GiveBack) as caught, giving_back():
        raise error
    assert caught.value.code == code
    assert not caught.value.job_fault


@pytest.mark.parametrize("error", [KeyError("bug"), InvariantViolated("bug"), JournalFailed("disk")])
def test_unexpected_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)), giving_back():
        raise error
