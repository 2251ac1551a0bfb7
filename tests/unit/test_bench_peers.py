"""How the bench measures other systems: processes, conversation, and what it makes of the figures."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from bench.peers import environments
from bench.peers.catalogue import OURS, PEERS, PeerSpec, Traits
from bench.peers.contender import Load, Measured
from bench.peers.driven import FEWEST, MOST, DrivenPeer, PeerFailed, driver_process, tasks_for
from bench.peers.environments import REQUIREMENTS, EnvironmentFailed, python_of
from bench.peers.tables import Comparison
from bench.report import render
from bench.results import Report, Table, complete
from bench.usage import Memory, tree_s

TICKS_S = 0.1
"""The kernel counts CPU time in ticks of 10 ms, for each of the processes of a tree."""

BURN = """
import json, os, resource, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
burn(0.2)
if not os.fork():
    burn(0.3)
    if not os.fork():
        burn(0.2)
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
reader, writer = os.pipe()
if not os.fork():
    burn(0.2)
    os.write(writer, b"%f" % time.process_time())
    time.sleep(600)
alive = float(os.read(reader, 100))
ended = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.process_time() + ended.ru_utime + ended.ru_stime + alive, flush=True)
sys.stdin.read()
os.kill(0, 9)
"""


def test_cpu_of_a_tree_counts_every_process_once_also_those_that_ended() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        by_themselves = float(process.stdout.readline())
        seen = tree_s(process.pid)
    assert by_themselves > 0.85
    assert seen == pytest.approx(by_themselves, abs=TICKS_S)


@contextmanager
def pool(folder: Path, behave: str = "") -> Iterator[DrivenPeer]:
    tests = str(Path(__file__).parent.parent)
    environment = {"BENCH_FOLDER": str(folder), "BENCH_DSN": behave, "PYTHONPATH": tests}
    log = folder / "driver.log"
    with driver_process(Path(sys.executable), "unit.bench_pool_driver", environment, log) as (driver, connection):
        yield DrivenPeer([driver.pid], connection, log)


def test_a_driven_peer_is_measured_with_its_workers_and_leaves_nothing(tmp_path: Path) -> None:
    with pool(tmp_path) as peer:
        load = peer.load(0.2)
        taken_ms = peer.one_by_one(5)
        memory = peer.memory()
        daemon = psutil.Process(int(_read(tmp_path / "daemon.new")))
        workers = memory.processes - 3  # driver, daemon, and the resource tracker of multiprocessing
    assert peer.version == "of this Python"
    assert load.tasks >= FEWEST
    assert load.core_cpu_s is None
    assert load.cpu_s > load.tasks * 50e-6  # adding 20,000 numbers takes longer on any machine, and workers do it
    assert len(taken_ms) == 5
    assert min(taken_ms) > 0
    assert workers == 2
    assert not _words(daemon)


def _read(path: Path) -> str:
    until = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text()


@pytest.mark.parametrize(
    ("behave", "says"),
    [("broken", "this peer does not start"), ("wrong", "the results differ"), ("killed", "its driver ended")],
)
def test_a_peer_that_fails_says_why_in_its_own_words(tmp_path: Path, behave: str, says: str) -> None:
    with pytest.raises(PeerFailed, match=says), pool(tmp_path, behave) as peer:
        peer.load(0.1)
    assert not any(str(tmp_path) in " ".join(_words(process)) for process in psutil.process_iter())


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()  # nothing, of one that has ended and was not waited for
    except psutil.Error:
        return []


def test_as_many_tasks_as_keep_a_system_busy_within_bounds() -> None:
    assert tasks_for(5, 1_000) == 5_000
    assert tasks_for(5, 10) == FEWEST
    assert tasks_for(5, 1e6) == MOST


def test_every_peer_has_a_driver_and_a_lock_with_hashes() -> None:
    for peer in PEERS:
        assert (REQUIREMENTS.parent / "drivers" / f"{peer.module}.py").exists()
        lock = (REQUIREMENTS / f"{peer.module}.txt").read_text()
        assert "--hash=sha256:" in lock
        assert "--index-url" not in lock


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return tmp_path


def test_an_environment_is_made_once_for_each_state_of_its_lock(locks: Path) -> None:
    peer = PeerSpec(name="Nothing", module="nothing", traits=OURS)
    said: list[str] = []
    (locks / "nothing.txt").write_text("# nothing\n")
    python = python_of(peer, said.append)
    subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"], check=True)
    assert python_of(peer, said.append) == python
    assert len(said) == 1
    (locks / "nothing.txt").write_text("# nothing else\n")
    assert python_of(peer, said.append) != python
    assert len(said) == 2


def test_a_peer_that_cannot_be_installed_says_so_each_time(locks: Path) -> None:
    (locks / "gone.txt").write_text(f"gone==1.0 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):  # what was left half-done is not taken for an environment
        with pytest.raises(EnvironmentFailed, match="gone"):
            python_of(PeerSpec(name="Gone", module="gone", traits=OURS), lambda _: None)


def test_a_peer_that_wants_a_python_that_is_not_here_says_so(locks: Path) -> None:
    (locks / "later.txt").write_text("")
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.99"):
        python_of(PeerSpec(name="Later", module="later", traits=OURS, python=(3, 99)), lambda _: None)


def measured(cpu_ms: float, *, core_ms: float | None = None, rate: float = 100.0, one_ms: float = 2.0) -> Measured:
    tasks = 1000
    load = Load(
        tasks=tasks,
        seconds=tasks / rate,
        cpu_s=cpu_ms * tasks / 1000,
        core_cpu_s=None if core_ms is None else core_ms * tasks / 1000,
    )
    return Measured(version="1.0", load=load, one_ms=[one_ms] * 10, memory=Memory(3, 50.0, 80.0, 90.0))


TRAITS = dict.fromkeys(("Hypernode", "slow", "lean", "absent"), OURS)
FOUND = {
    "Hypernode": [measured(0.5, core_ms=0.2), measured(0.4, core_ms=0.3)],
    "slow": [measured(2.0), measured(3.0)],
    "lean": [measured(0.25), measured(0.1)],
    "absent": [],
}


def test_systems_stand_side_by_side_the_leanest_first() -> None:
    costs, does = Comparison(FOUND, TRAITS, {"absent": "it\n cannot be installed"}).tables()
    assert [row[0] for row in costs.rows] == [
        "lean",
        "**Hypernode**",
        "of that coordinator + database",
        "slow",
        "absent",
    ]
    lean, ours, core, slow, absent = costs.rows
    assert ours[2:4] == ["0.45 (0.4–0.5)", "1.00"]
    assert core[2] == "0.25 (0.2–0.3)"
    assert slow[2:5] == ["2.5 (2–3)", "5.75", "100"]  # the ratio is made in each round: 4 and 7.5
    assert lean[3] == "0.38"
    assert absent[1] == "failed: it cannot be installed"
    assert [row[0] for row in does.rows] == list(TRAITS)
    assert all(len(row) == len(table.columns) for table in (costs, does) for row in table.rows)


def test_ours_is_compared_with_the_leanest_both_whole_and_without_nodes() -> None:
    core, whole = Comparison(FOUND, TRAITS, {}).over_leanest()
    assert (core.min, core.max) == (0.8, 3.0)
    assert (whole.min, whole.max) == (2.0, 4.0)
    assert "lean" in core.name


def test_a_peer_that_failed_later_keeps_what_was_measured() -> None:
    found = {**FOUND, "slow": [measured(2.0)]}
    costs = Comparison(found, TRAITS, {"slow": "gone"}).tables()[0]
    assert [row[0] for row in costs.rows].count("slow") == 2


def test_the_page_shows_tables_in_place_of_figures_that_are_in_them() -> None:
    comparison = Comparison(FOUND, TRAITS, {})
    table = Table("Both", ["a", "b"], [["x|y", "1"]])
    report = Report(
        title="Beside others",
        method="how",
        parameters={},
        figures=comparison.figures(),
        aims=[],
        checks={},
        tables=[table],
        figures_in_tables=True,
    )
    result = complete("peers", report, quick=False, load_before=0.0)
    page = render({"peers": result}, ["peers"])
    assert "Both\n\n| a | b |\n|---|---:|\n| x\\|y | 1 |\n" in page
    assert "slow: CPU per task" not in page


def test_what_a_system_does_is_said_in_words() -> None:
    for peer in PEERS:
        said = json.loads(json.dumps({name: getattr(peer.traits, name) for name in Traits.__struct_fields__}))
        assert all(said.values()), peer.name
