"""Where the CPU of a job goes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
import uvloop

from bench.load import Plan, Pushed
from bench.measuring import Say, check, cpu_ms, generate, network_parameters
from bench.network import BenchNetwork, scratch
from bench.pipeline import PHASES, Cost, measure
from bench.results import FOLDER, Report, Table, figure
from hypernode.kernel import keys
from hypernode.kernel.keys import KeyPair

Stacks: TypeAlias = list[tuple[tuple[str, ...], int]]

PATH: Final = FOLDER / "profile.txt"
BATCHES: Final = (16, 64, 256)
_RECEIPT: Final = bytes(800)
"""As large as a receipt's body."""
_SHOWN: Final = 60

# The first that is found anywhere in a stack says what it was for.
_PURPOSES: Final = (
    ("the node's signature checked", "hypernode/kernel/keys.py verify"),
    ("the receipt countersigned", "hypernode/kernel/keys.py KeyPair.sign"),
    ("requests: HTTP, decoding, answers", "uvicorn/protocols/http/httptools_impl.py"),
    ("submission written (transaction A)", "hypernode/jobs/service/submit.py Submissions._flush"),
    ("matched and leased (transaction B)", "hypernode/coordinator/scheduler.py"),
    ("start written (transaction C)", "hypernode/jobs/service/lease.py Leases._mark_running"),
    ("end decided and written (transaction D)", "hypernode/jobs/service/end.py Endings._flush"),
    ("nodes' messages and reports", "hypernode/coordinator/conversation.py"),
    ("nodes' messages and reports", "hypernode/coordinator/reports.py"),
    ("frames of nodes", "uvicorn/protocols/websockets"),
    ("frames of nodes", "hypernode/coordinator/node_socket.py"),
    ("batches handed over", "hypernode/db/batch.py"),
    ("events to readers", "hypernode/events/"),
)
_REST: Final = "event loop, sockets, PostgreSQL's protocol in C"


def profile(quick: bool, say: Say) -> Report:
    """By transaction with the rooms alone, and by purpose under the throughput part's load. Writes `profile.txt`."""
    say("the rooms alone, in batches of " + ", ".join(map(str, BATCHES)))
    costs = [_cost(batch, 2_000 if quick else 12_000) for batch in BATCHES]
    seconds = 5.0 if quick else 30.0
    say(f"{seconds:.0f} s of load, the coordinator sampled")
    pushed, stacks, checks = _sampled(seconds)
    whole = cpu_ms(pushed)
    sign, verify = _signatures()
    _write(stacks, whole["coordinator"], pushed.jobs)
    return Report(
        title="Where the time goes",
        method="First the rooms alone, without HTTP, WebSocket, nodes and signatures: CPU of this process (the "
        "coordinator's part) and of PostgreSQL by transaction, in lockstep at a given batch. Then the throughput "
        f"part's load for {seconds:.0f} s with the coordinator's stack looked at as the kernel's profiling timer "
        "says, which counts CPU time: each look counts for the first purpose that is found in the stack, "
        "and C code for the Python function that called it. All functions: `bench/results/profile.txt`.",
        parameters=network_parameters(),
        figures=[
            figure("coordinator CPU per job while sampled", "ms", whole["coordinator"], []),
            figure("database CPU per job meanwhile", "ms", whole["database"], []),
            figure("signing a receipt of 800 bytes", "µs", sign, []),
            figure("checking a signature of 800 bytes", "µs", verify, []),
        ],
        aims=[],
        checks={**checks, "samples": sum(count for _, count in stacks)},
        tables=[_by_transaction(costs), _by_purpose(stacks, whole["coordinator"])],
    )


def _cost(batch: int, jobs: int) -> Cost:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(batch, jobs))


def _by_transaction(costs: list[Cost]) -> Table:
    names = {"submit": "A, submission", "lease": "B, match and lease", "start": "C, start", "end": "D, end"}
    columns = [f"{role}, batches of {batch}" for batch in BATCHES for role in ("coordinator", "database")]
    rows = [
        [names[phase], *(f"{1000 * of[phase]:.0f}" for cost in costs for of in (cost.coordinator, cost.database))]
        for phase in PHASES
    ]
    sums = [f"{1000 * sum(of.values()):.0f}" for cost in costs for of in (cost.coordinator, cost.database)]
    return Table("The rooms alone, µs a job", ["transaction", *columns], [*rows, ["together", *sums]])


def _sampled(seconds: float) -> tuple[Pushed, Stacks, dict[str, object]]:
    with scratch() as folder:
        found = folder / "stacks.json"
        with BenchNetwork(folder / "network", profile=found) as network:
            plan = Plan(
                kind="batch",
                batch=100,
                windows=1,
                window_s=seconds,
            )
            pushed = generate(plan, Pushed, network)
            checks = check(network, pushed.jobs)
        return pushed, msgspec.json.decode(found.read_bytes(), type=Stacks), checks


def _purpose(stack: tuple[str, ...]) -> str:
    for purpose, marker in _PURPOSES:
        if any(name.startswith(marker) for name in stack):
            return purpose
    return _REST


def _by_purpose(stacks: Stacks, coordinator_ms: float) -> Table:
    purposes: Counter[str] = Counter()
    for stack, count in stacks:
        purposes[_purpose(stack)] += count
    samples = purposes.total()
    return Table(
        "The coordinator under load",
        ["what for", "share", "µs a job"],
        [
            [purpose, f"{100 * count / samples:.1f} %", f"{1000 * coordinator_ms * count / samples:.0f}"]
            for purpose, count in purposes.most_common()
        ],
    )


def _write(stacks: Stacks, coordinator_ms: float, jobs: int) -> None:
    """All functions: by what they took themselves, C code they called included, and with all they called."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, count in stacks:
        own[stack[-1]] += count
        for name in set(stack):
            within[name] += count
    samples = own.total()
    lines = [
        f"The coordinator under load, {jobs} no-op jobs in batches of 100, {1000 * coordinator_ms:.0f} µs of its CPU a "
        f"job; {samples} samples of its stack by CPU time.",
    ]
    for title, counts in (("By themselves, with the C code they call", own), ("With all they call", within)):
        lines += ["", title, "", f"{'share':>7}  {'µs a job':>8}"]
        lines += [
            f"{100 * count / samples:6.1f}%  {1000 * coordinator_ms * count / samples:8.1f}  {name}"
            for name, count in counts.most_common(_SHOWN)
        ]
    PATH.write_text("\n".join(lines) + "\n")


def _signatures(times: int = 2_000) -> tuple[float, float]:
    """Microseconds of CPU for one signature and for checking one."""
    key = KeyPair.generate()
    signature = key.sign("bench", _RECEIPT)

    def each(act: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(times):
            act()
        return (time.process_time() - began) * 1e6 / times

    sign = each(lambda: key.sign("bench", _RECEIPT))
    return sign, each(lambda: keys.verify(key.public, "bench", _RECEIPT, signature))
