"""The parts of the bench. Each starts what it needs, measures, checks that the work was really done, and reports."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from bench import environment_lease, matching, sandbox_cost, sandbox_start, wasm_start
from bench.held_back import held_back
from bench.idle_nodes import idle_nodes
from bench.load import WARM_UP_JOBS, Plan, Pushed, Waited, document
from bench.local_chain import local_chain
from bench.log_flow import logs
from bench.machine import Machine, every_sandbox
from bench.measuring import Say, check, cpu_ms, cpu_ms_between, generate, network_parameters
from bench.network import BenchNetwork, scratch
from bench.peers.part import peers
from bench.profile import profile
from bench.programs import programs
from bench.queued import queued
from bench.results import Figure, Report, aim, aim_least, figure, percentile
from bench.sandbox_start import Samples
from bench.usage import Memory, memory
from hypernode.client import Client
from hypernode.coordinator.local import LocalNetwork
from hypernode.jobs.model import JobDocument, PythonRuntime

CPU_AIM_MS: Final = 0.25
START_AIM_MS: Final = 5.0
START_P99_AIM_MS: Final = 25.0
RATE_AIM: Final = 4000.0
ARRAY_RATE_AIM: Final = 20_000.0
SANDBOX_AIMS_MS: Final = {"bubblewrap": 40.0, "docker/runc": 300.0, "docker/runsc": 450.0, "podman/runc": 300.0}
ENVIRONMENT_AIM_MS: Final = 5.0
WASM_AIM_MS: Final = 2.0
NODE_AIM_MIB: Final = 80 * 10**6 / (1 << 20)
"""80 MB in the MiB that memory is given in."""


def throughput(quick: bool, say: Say) -> Report:
    """CPU per job and jobs per second, 100 jobs a request."""
    return _throughput("batch", quick, say)


def singles(quick: bool, say: Say) -> Report:
    """The same, one job a request."""
    return _throughput("single", quick, say)


def _throughput(kind: str, quick: bool, say: Say) -> Report:
    batch, connections = (100, 4) if kind == "batch" else (1, 32)
    windows, window_s = (2, 5.0) if quick else (60, 10.0) if kind == "batch" else (6, 10.0)
    with scratch() as folder, BenchNetwork(folder) as network:
        say(f"{windows * window_s:.0f} s of load")
        plan = Plan(
            kind=kind,
            batch=batch,
            connections=connections,
            windows=windows,
            window_s=window_s,
        )
        pushed = generate(plan, Pushed, network)
        checks = check(network, pushed.jobs)
        roles = [*network.pids, "load"]
    whole = cpu_ms(pushed)
    by_window = [cpu_ms_between(a, b) for a, b in zip(pushed.windows, pushed.windows[1:], strict=False)]
    rates = [
        (b.settled - a.settled) / (b.at_s - a.at_s) for a, b in zip(pushed.windows, pushed.windows[1:], strict=False)
    ]
    first, last = pushed.windows[0], pushed.windows[-1]
    way = "in batches" if kind == "batch" else "one a request"
    both = figure(
        f"coordinator + database CPU per job, {way}",
        "ms",
        whole["coordinator"] + whole["database"],
        [window["coordinator"] + window["database"] for window in by_window],
    )
    settled = figure("settled per second", "1/s", (last.settled - first.settled) / (last.at_s - first.at_s), rates)
    figures = [
        both,
        settled,
        *(
            figure(f"{role} CPU per job", "ms", whole[role], [window[role] for window in by_window])
            for role in ("coordinator", "database", "nodes", "load")
        ),
        figure("submitting request p50", "ms", percentile(pushed.requests_ms, 0.5), []),
        figure("submitting request p99", "ms", percentile(pushed.requests_ms, 0.99), []),
    ]
    others = 1 - sum(last.cpu_s[role] - first.cpu_s[role] for role in roles) / max(
        0.01, last.cpu_s["everything"] - first.cpu_s["everything"]
    )
    return Report(
        title="Throughput, 100 jobs a request" if kind == "batch" else "Throughput, one job a request",
        method="No-op jobs of one task, no two with the same document. A load generator keeps "
        f"{plan.backlog} jobs submitted and not settled, with {connections} connections of {batch} job(s) a POST, each "
        "with an Idempotency-Key. CPU is user and system time of the coordinator's process and of the postmaster with "
        "all its children, ended ones included, from before the first request until everything is settled, divided by "
        "jobs; agents and generator are shown apart. "
        f"Rate and spread: {windows} windows of {window_s:.0f} s after {plan.warm_s:.0f} s of warm-up.",
        parameters={
            **network_parameters(),
            "jobs_per_request": batch,
            "connections": connections,
            "backlog": plan.backlog,
            "warm_up_s": plan.warm_s,
            "windows": windows,
            "window_s": window_s,
        },
        figures=figures,
        aims=[aim("CPU per job in batches", both, CPU_AIM_MS), aim_least("settled per second", settled, RATE_AIM)]
        if kind == "batch"
        else [],
        checks={
            **checks,
            "jobs": pushed.jobs,
            "peak_backlog": pushed.peak_backlog,
            "cpu_used_by_others": round(max(0.0, others), 2),
        },
    )


def latency(quick: bool, say: Say) -> Report:
    """One job at a time on an idle network."""
    repetitions, jobs = (2, 30) if quick else (3, 120)
    runs: list[list[Waited]] = []
    waits: list[list[Waited]] = []
    with scratch() as folder, BenchNetwork(folder, stamp=True) as network:
        for number in range(repetitions):
            say(f"{jobs} jobs one after the other, {number + 1} of {repetitions}")
            plan = Plan(kind="latency", jobs=jobs)
            runs.append(generate(plan, list[Waited], network))
            plan = msgspec.structs.replace(plan, kind="latency-wait", jobs=jobs // 3)
            waits.append(generate(plan, list[Waited], network))
        checks = check(network, repetitions * (jobs + jobs // 3 + 2 * WARM_UP_JOBS))
        assert network.stamps is not None
        lines = [line.split() for line in network.stamps.read_text().splitlines()]
    started = {key.rsplit("-", 2)[0]: int(at) for key, at in lines}

    def taken(name: str, of: list[list[Waited]], end: Callable[[Waited], int]) -> list[Any]:
        by_run = [[(end(one) - one.began) / 1e6 for one in run] for run in of]
        together = [value for run in by_run for value in run]
        return [
            figure(
                f"{name} p{share * 100:.0f}", "ms", percentile(together, share), [percentile(r, share) for r in by_run]
            )
            for share in (0.5, 0.99)
        ]

    start = taken("submit to start", runs, lambda one: started[one.job_id])
    return Report(
        title="Latency, one job at a time",
        method="An idle network runs one no-op job after the other, each 10 to 50 ms after the one before ended, and "
        f"{WARM_UP_JOBS} before that are not counted (the first opens connections). The "
        "clock starts in the client before `AsyncClient.submit` and is the machine's monotonic one. Start: the no-op "
        "sandbox's own stamp as its first act. Accepted: `submit` has returned. Running event and result: "
        "`task.running` and `job.ended` have arrived at the client over one stream of server-sent events that was open "
        "before. Result by wait: `submit` and then `AsyncClient.wait`, which opens a stream of its own.",
        parameters={**network_parameters(), "jobs": repetitions * jobs, "repetitions": repetitions},
        figures=[
            *start,
            *taken("submit to accepted", runs, lambda one: one.accepted),
            *taken("submit to running event", runs, lambda one: one.running_seen),
            *taken("submit to result", runs, lambda one: one.ended_seen),
            *taken("submit to result by wait", waits, lambda one: one.ended_seen),
        ],
        aims=[
            aim("submit to start, p50", start[0], START_AIM_MS),
            aim("submit to start, p99", start[1], START_P99_AIM_MS),
        ],
        checks=checks,
    )


def memory_use(quick: bool, say: Say) -> Report:
    """Memory of an idle network with a real node."""
    samples = 3 if quick else 5
    taken: dict[str, list[Memory]] = {"coordinator": [], "database": [], "node": []}
    with scratch() as folder, LocalNetwork(folder, nodes=1) as network:
        assert network.coordinator is not None
        assert network.postmaster_pid is not None
        coordinator, postmaster, node = network.coordinator.pid, network.postmaster_pid, network.nodes["node-1"].pid

        def look() -> None:
            # The embedded database is a child of the coordinator here; it is counted by itself.
            whole, database = memory(coordinator), memory(postmaster)
            own = Memory(
                whole.processes - database.processes,
                whole.pss - database.pss,
                whole.rss - database.rss,
                whole.peak_rss - database.peak_rss,
            )
            for role, found in (("coordinator", own), ("database", database), ("node", memory(node))):
                taken[role].append(found)

        say("an idle network")
        time.sleep(5)
        for _ in range(samples):
            look()
            time.sleep(1)
        say("after one job in the real sandbox")
        job = JobDocument(version=1, runtime=PythonRuntime(code="print(1)"), cap=100_000, timeout_s=60, isolation=0)
        with Client(network.url, network.client_key) as client:
            ended = client.wait(client.submit(job).id, 120)
        time.sleep(2)
        after = memory(node)
        log = (folder / "node-1.log").read_text(errors="replace")[-500:] if not ended.state.ended else ""
    idle = {role: found[:samples] for role, found in taken.items()}
    figures = []
    for role, found in idle.items():
        pss = [one.pss for one in found]
        rss = [one.rss for one in found]
        figures.append(figure(f"idle {role}, PSS", "MiB", statistics.median(pss), pss))
        figures.append(figure(f"idle {role}, RSS", "MiB", statistics.median(rss), rss))
    figures.append(figure("node after one job, PSS", "MiB", after.pss, []))
    figures.append(figure("node after one job, RSS", "MiB", after.rss, []))
    figures.append(figure("node, peak RSS of its processes, sum", "MiB", after.peak_rss, []))
    node_pss = next(one for one in figures if one.name == "idle node, PSS")
    return Report(
        title="Memory",
        method="A local network with one real node (agent and sandbox launcher) that has nothing to do, from 5 s after "
        "the node connected. PSS from smaps_rollup, summed over the role's processes, shares out what they map "
        "together; RSS counts it in each. Then one job runs in the real sandbox; the peak is the sum of each process's "
        "highest RSS since it started, probing included.",
        parameters={"nodes": 1, "processes": {role: found[0].processes for role, found in idle.items()}},
        figures=figures,
        aims=[aim("idle node (80 MB)", node_pss, round(NODE_AIM_MIB, 1))],
        checks={"job": ended.state.value, **({"log": log} if log else {})},
    )


def sandbox(quick: bool, say: Say) -> Report:
    """How long sandboxes take to start."""
    repetitions, runs = (1, 5) if quick else (3, 20)
    found = _on_machine(sandbox_start.measure, repetitions, runs, say)
    steps = ("true: prepare + run", "true: run", "true: whole", "with /out: prepare + run", "python: prepare + run")
    figures = []
    for name in found[0]:
        if name.startswith("plain") or name.endswith(steps[:3]):
            figures.append(_figure_ms(f"{name} min", found, name, min))
        if name.startswith("plain") or name.endswith(steps):
            figures.append(_figure_ms(f"{name} p50", found, name, statistics.median))
    by_name = {one.name: one for one in figures}
    return Report(
        title="Sandbox start",
        method="`/usr/bin/true` in every sandbox of the machine (engines are started for the bench), in turns with "
        "plain fork and exec and with the others. Prepare and run: from being asked until it has ended; whole: until "
        "nothing of it is left. Spread: medians (for min: minima) of the repetitions.",
        parameters={"runs": runs, "repetitions": repetitions},
        figures=figures,
        aims=[
            aim(f"{name} start of true, p50", by_name[figure_name], limit)
            for name, limit in SANDBOX_AIMS_MS.items()
            if (figure_name := f"{name}, true: prepare + run p50") in by_name
        ],
        checks={},
    )


def cost(quick: bool, say: Say) -> Report:
    """What sandboxes cost a job while it runs."""
    repetitions, runs = (1, 2) if quick else (3, 5)
    found = _on_machine(sandbox_cost.measure, repetitions, runs, say)
    figures = []
    for name in found[0]:
        sandbox_name, _, work = name.rpartition(": ")
        bare = "C: loop" if work == "loop" else f"bare process: {work}"
        if name == bare:
            figures.append(_figure_ms(f"{name} p50", found, name, statistics.median))
            continue
        ratios = [a / b for samples in found for a, b in zip(samples[name], samples[bare], strict=True)]
        spread = [
            statistics.median(a / b for a, b in zip(samples[name], samples[bare], strict=True)) for samples in found
        ]
        figures.append(
            figure(f"{sandbox_name}: {work}, times the bare process", "×", statistics.median(ratios), spread)
        )
    return Report(
        title="What a sandbox costs while a job runs",
        method="compute: two million steps of integer arithmetic in Python, which ask nothing of the kernel. calls: "
        "100,000 times stat(2), which ask nothing else of it: the worst case, not the usual one. Both time themselves "
        "inside, in turns with a bare process. loop: CPU time of 100 million steps of integer arithmetic in "
        "WebAssembly, metered by fuel, against the same in C by `cc -O2`. Median of the ratios of neighbours.",
        parameters={"runs": runs, "repetitions": repetitions},
        figures=figures,
        aims=[],
        checks={},
    )


def environments(quick: bool, say: Say) -> Report:
    """How long the environment of a lock takes that is here already."""
    repetitions, runs = (1, 10) if quick else (3, 50)
    found = _on_machine(environment_lease.measure, repetitions, runs, say, engines=False)
    figures = [_figure_ms(f"{name} p50", found, name, statistics.median) for name in found[0]]
    return Report(
        title="Python environments",
        method="Leasing the environment of a lock with one package that was installed before, and the one of no lock.",
        parameters={"runs": runs, "repetitions": repetitions},
        figures=figures,
        aims=[aim("environment of a cached lock, p50", figures[0], ENVIRONMENT_AIM_MS)],
        checks={},
    )


def wasm(quick: bool, say: Say) -> Report:
    """How long a WebAssembly module that was compiled before takes to start."""
    repetitions, runs = (2, 10) if quick else (3, 30)
    found = _on_machine(wasm_start.measure, repetitions, runs, say, engines=False)
    figures = []
    for name in found[0]:
        figures.append(_figure_ms(f"{name} min", found, name, min))
        figures.append(_figure_ms(f"{name} p50", found, name, statistics.median))
    own = next(one for one in figures if one.name == "wasm: own p50")
    return Report(
        title="WebAssembly start",
        method="A module that does nothing, compiled before, in the bubblewrap sandbox, in turns with plain fork and "
        "exec and with a Python that does nothing in the same sandbox. Own: what the runner in the sandbox spends on "
        "one module, from its compiled file to its first instruction (engine, loading, linking, instantiating); "
        "without the start of the sandbox and of Python, and without importing wasmtime, which prepare + run has. "
        "Found and checked: looking the compiled file up and hashing it, on the agent's side, before anything is "
        "billed. Spread: medians (for min: minima) of the repetitions.",
        parameters={"runs": runs, "repetitions": repetitions},
        figures=figures,
        aims=[aim("our own time for a cached module, p50", own, WASM_AIM_MS)],
        checks={},
    )


def _on_machine(
    measure: Callable[[Machine, int], Awaitable[Samples]],
    repetitions: int,
    runs: int,
    say: Say,
    *,
    engines: bool = True,
) -> list[Samples]:
    """One measurement, repeated, with every sandbox of the machine at hand; without `engines` only with bubblewrap."""

    async def work() -> list[Samples]:
        found = []
        say("starting engines and probing sandboxes" if engines else "probing the sandbox")
        async with every_sandbox(engines=engines) as machine:
            for number in range(repetitions):
                say(f"{runs} of each kind, {number + 1} of {repetitions}")
                found.append(await measure(machine, runs))
        return found

    return asyncio.run(work())


def _figure_ms(name: str, found: list[Samples], what: str, summary: Callable[[list[float]], float]) -> Figure:
    together = [seconds * 1000 for samples in found for seconds in samples[what]]
    return figure(name, "ms", summary(together), [summary(samples[what]) * 1000 for samples in found])


def arrays(quick: bool, say: Say) -> Report:
    """How long a large array takes to be accepted, and what its tasks cost."""
    size, repetitions, tasks = 100_000, 3 if quick else 10, 2_000 if quick else 5_000
    accept_ms: list[float] = []
    cancel_ms: list[float] = []
    say(f"accepting {repetitions} arrays of {size:,} tasks")
    with (
        scratch() as folder,
        BenchNetwork(folder, nodes=0) as network,
        Client(network.url, network.client_key) as client,
    ):
        client.cancel(client.submit(document(tasks=2)).id)
        for _ in range(repetitions):
            began = time.perf_counter()
            job = client.submit(document(tasks=size))
            accepted = time.perf_counter()
            client.cancel(job.id)
            accept_ms.append((accepted - began) * 1000)
            cancel_ms.append((time.perf_counter() - accepted) * 1000)
    pushes: list[Pushed] = []
    with scratch() as folder, BenchNetwork(folder) as network:
        for number in range(2 if quick else 3):
            say(f"running an array of {tasks:,} tasks, {number + 1}")
            plan = Plan(kind="array", jobs=tasks)
            pushes.append(generate(plan, Pushed, network))
        checks = check(network, sum(pushed.jobs for pushed in pushes))
    cpu = [cpu_ms(pushed) for pushed in pushes]
    both = [one["coordinator"] + one["database"] for one in cpu]
    rates = [pushed.jobs / (pushed.after.at_s - pushed.before.at_s) for pushed in pushes]
    per_second = [size * 1000 / ms for ms in accept_ms]
    accepted_rate = figure("tasks accepted per second", "1/s", statistics.median(per_second), per_second)
    return Report(
        title="Arrays",
        method=f"One job of {size:,} tasks is submitted to a network without nodes, and cancelled again; the time is "
        f"the client's, from before `submit` until it has returned. Then arrays of {tasks:,} no-op tasks run on two "
        "nodes, one array after the other; CPU and rate as in the throughput parts, per task.",
        parameters={**network_parameters(), "array_size": size, "repetitions": repetitions, "tasks_run": tasks},
        figures=[
            figure("accepting 100,000 tasks", "ms", statistics.median(accept_ms), accept_ms),
            accepted_rate,
            figure("cancelling 100,000 waiting tasks", "ms", statistics.median(cancel_ms), cancel_ms),
            figure("coordinator + database CPU per task", "ms", statistics.median(both), both),
            figure("tasks settled per second", "1/s", statistics.median(rates), rates),
        ],
        aims=[aim_least("tasks accepted in arrays", accepted_rate, ARRAY_RATE_AIM)],
        checks=checks,
    )


PARTS: Final[dict[str, Callable[[bool, Say], Report]]] = {
    "throughput": throughput,
    "singles": singles,
    "latency": latency,
    "profile": profile,
    "memory": memory_use,
    "sandbox": sandbox,
    "cost": cost,
    "environments": environments,
    "wasm": wasm,
    "arrays": arrays,
    "queued": queued,
    "idle": idle_nodes,
    "held": held_back,
    "logs": logs,
    "matching": matching.measure,
    "peers": peers,
    "chain": local_chain,
    "programs": programs,
}
