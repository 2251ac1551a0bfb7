"""What parts of the bench share: running a load, checking that its work was done, and CPU per job."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from bench.load import Plan, Pushed, Target
from bench.network import ASK, SLOTS, BenchNetwork

Say = Callable[[str], None]


class CheckFailed(Exception):
    """The work was not done as it should have been, so figures about it mean nothing."""


def generate(plan: Plan, kind: type[Any], network: BenchNetwork) -> Any:
    """Run the load generator in a process of its own, on this network."""
    orders = msgspec.json.encode((Target(network.url, network.client_key, network.pids), plan))
    done = subprocess.run([sys.executable, "-m", "bench.load"], input=orders, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        log = (network.folder / "coordinator.log").read_text(errors="replace").splitlines()[-20:]
        raise CheckFailed("the load generator failed; the coordinator's log ends with\n" + "\n".join(log))
    return msgspec.json.decode(done.stdout, type=kind)


def check(network: BenchNetwork, jobs: int) -> dict[str, Any]:
    """Every job was settled once, and the ledger adds up. Raises CheckFailed."""
    summary = network.ledger_summary()
    earned = -summary.balances["issuance"]
    paid = sum(summary.balances[kind] for kind in ("treasury", "incentive", "stakers"))
    if summary.settlements != jobs or summary.total != 0 or not summary.consistent or summary.balances["escrow"] != 0:
        raise CheckFailed(f"{jobs} jobs were submitted, but the ledger says {summary}")
    return {
        "settlements": summary.settlements,
        "transfers": summary.transfers,
        "ledger_total": summary.total,
        "ledger_consistent": summary.consistent,
        "in_escrow": summary.balances["escrow"],
        "deposited": earned,
        "fees": paid,
    }


def network_parameters() -> dict[str, Any]:
    return {
        "coordinators": 1,
        "nodes": 2,
        "slots_per_node": SLOTS,
        "ask": msgspec.to_builtins(ASK),
        "database": "embedded PostgreSQL, fsync and synchronous_commit on",
        "transport": "HTTP and WebSocket on loopback, without TLS",
    }


def cpu_ms(pushed: Pushed) -> dict[str, float]:
    return cpu_ms_of(pushed.before.cpu_s, pushed.after.cpu_s, pushed.jobs)


def cpu_ms_between(a: Any, b: Any) -> dict[str, float]:
    return cpu_ms_of(a.cpu_s, b.cpu_s, b.settled - a.settled)


def cpu_ms_of(before: dict[str, float], after: dict[str, float], jobs: int) -> dict[str, float]:
    return {role: (after[role] - before[role]) * 1000 / max(1, jobs) for role in after}
