"""Throughput while a transaction that somebody left open keeps vacuum away."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from itertools import pairwise

import asyncpg

from bench.load import Plan, Pushed
from bench.measuring import Say, check, cpu_ms_between, generate, network_parameters
from bench.network import BenchNetwork, scratch
from bench.results import Report, aim_least, figure


class Idler:
    """Somebody who opens a transaction, reads, and goes away from the keyboard."""

    def __init__(self, dsn: str, after_s: float, for_s: float, *, refuses_to_end: bool) -> None:
        self._dsn = dsn
        self._after_s = after_s
        self._for_s = for_s
        self._refuses_to_end = refuses_to_end
        self.held_s = 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._idle()), daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    async def _idle(self) -> None:
        await asyncio.sleep(self._after_s)
        connection = await asyncpg.connect(self._dsn)
        if self._refuses_to_end:
            await connection.execute("set idle_in_transaction_session_timeout = 0")
        await connection.execute("begin isolation level repeatable read")
        await connection.fetchval("select count(*) from node")
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        began = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), self._for_s)
        self.held_s = time.monotonic() - began
        connection.terminate()


def held_back(quick: bool, say: Say) -> Report:
    """CPU per job and rate before and while a transaction is left idle."""
    window_s = 5.0 if quick else 20.0
    before, during = (2, 4) if quick else (2, 30)
    warm_s = 3.0
    found: dict[bool, tuple[Pushed, float]] = {}
    checks: dict[str, object] = {}
    for refuses in (False, True):
        # The server ends the first after a minute; the other holds vacuum back for as long as the load goes on.
        length = during if refuses else max(2, during // 7)
        say(f"{(before + length) * window_s:.0f} s of load, a transaction idle in {length * window_s:.0f} s of them")
        with scratch() as folder, BenchNetwork(folder) as network:
            plan = Plan(
                kind="batch",
                batch=100,
                warm_s=warm_s,
                windows=before + length,
                window_s=window_s,
            )
            idler = Idler(network.dsn, warm_s + before * window_s, length * window_s, refuses_to_end=refuses)
            idler.start()
            pushed = generate(plan, Pushed, network)
            idler.join()
            found[refuses] = pushed, idler.held_s
            checks |= {f"{'refusing ' * refuses}{name}": value for name, value in check(network, pushed.jobs).items()}
    figures = []
    for refuses, (pushed, held_s) in found.items():
        pairs = list(pairwise(pushed.windows))
        rates = [(b.settled - a.settled) / (b.at_s - a.at_s) for a, b in pairs]
        cpu = [(of["coordinator"] + of["database"]) for a, b in pairs if (of := cpu_ms_between(a, b))]
        name = "with a transaction that cannot be ended" if refuses else "with a transaction left idle"
        figures += [
            figure(f"{name}: rate over that before", "%", 100 * _mean(rates[before:]) / _mean(rates[:before]), []),
            figure(
                f"{name}: CPU per job before over that during",
                "%",
                100 * _mean(cpu[:before]) / _mean(cpu[before:]),
                [100 * _mean(cpu[:before]) / one for one in cpu[before:]],
            ),
            figure(f"{name}: held for", "s", held_s, []),
        ]
    return Report(
        title="A transaction left idle",
        method=f"The load of the throughput part; after {before} windows of {window_s:g} s somebody connects to the "
        "database, begins a transaction, reads and does nothing more. The embedded server ends a session that idles "
        f"in a transaction after 60 s; the load goes on for {max(2, during // 7) * window_s:.0f} s in all. Then the "
        f"same for {during * window_s:.0f} s with a session that has switched that off, as a long dump would hold "
        "vacuum back. Rates and CPU per job before and during; the spread of CPU is over windows.",
        parameters={**network_parameters(), "window_s": window_s, "windows_before": before, "windows_during": during},
        figures=figures,
        aims=[
            aim_least(f"throughput with a transaction left idle for {during * window_s:.0f} s", figures[3], 90.0),
            aim_least("the same by CPU per job", figures[4], 90.0),
        ],
        checks=checks,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
