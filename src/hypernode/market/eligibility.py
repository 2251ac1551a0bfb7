"""Eligibility, pure: whether a node may ever run a task, and if not, the first reason and what would change it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hypernode.jobs.views import Exclusion
from hypernode.kernel.money import show
from hypernode.kernel.units import show_bytes
from hypernode.ledger.model import worst_price
from hypernode.market.model import Demand
from hypernode.nodes.model import Ask, Capabilities

KERNEL_OF_ITS_OWN: Final = 3
"""The isolation level that no mending of a node reaches without another sandbox."""


def exclusion(demand: Demand, has: Capabilities, ask: Ask) -> Exclusion | None:
    """The first thing that keeps a node from ever running this, in a fixed order, or None if it is eligible. The
    price comes last, so that "the cap is too low" is only said of nodes that could do it otherwise."""
    if (why := _no_sandbox(demand, has)) is not None:
        return why
    for code, need, got, text in (
        ("cpu", demand.cpu_milli, has.cpu_milli, _milli),
        ("memory", demand.memory_bytes, has.memory_bytes, show_bytes),
        ("disk", demand.disk_bytes, has.disk_bytes, show_bytes),
        ("gpu", demand.gpus, sum(gpu.vram_bytes >= demand.vram_bytes for gpu in has.gpus) if demand.gpus else 0, str),
    ):
        if need > got:
            return Exclusion(code, 1, f"{text(need)} of {code} asked for, {text(got)} offered", f"ask for {text(got)}")
    for name, value in demand.labels:
        if has.labels.get(name) != value:
            return Exclusion(
                "labels",
                1,
                f"has not the label {name}={value}",
                f"leave {name} out of node_labels, or wait for a node whose owner gives it that label",
            )
    worst = worst_price(ask, demand.timeout_s)
    if worst > demand.remaining_cap:
        return Exclusion(
            "cap",
            1,
            f"costs up to {show(worst)} for {demand.timeout_s} s where {show(demand.remaining_cap)} is allowed",
            f"raise the cap by {show(worst - demand.remaining_cap)} or shorten the timeout",
        )
    return None


def _no_sandbox(demand: Demand, has: Capabilities) -> Exclusion | None:
    """Why none of a node's sandboxes has all that is asked for. One of them must have it all."""
    fit = [sandbox for sandbox in has.sandboxes if demand.runtime in sandbox.runtimes]
    if not fit:
        offered = ", ".join(has.runtimes)
        other = f"ask for one of: {offered}" if offered else "its owner sees with node:doctor what it lacks"
        return Exclusion("runtime", 1, f"no {demand.runtime!r} runtime", other)
    if demand.ports:
        return Exclusion("ports", 1, "offers no ports", "leave out network.ports: no node offers any yet")
    what = f"{demand.runtime} jobs"
    if demand.egress:
        fit = [sandbox for sandbox in fit if sandbox.egress]
        if not fit:
            return Exclusion(
                "egress",
                1,
                f"lets no {what} out to the network",
                "leave out network.egress, or wait for a node that does",
            )
        what += " with egress"
    best = max(sandbox.isolation for sandbox in fit)
    if demand.isolation > best:
        more = (
            "wait for a node with gVisor or a virtual machine"
            if demand.isolation == KERNEL_OF_ITS_OWN
            else "prove more on it (node:doctor there says how)"
        )
        return Exclusion(
            "isolation",
            1,
            f"isolation {best} proved for {what} where {demand.isolation} is asked for",
            f"lower isolation to {best} if you trust the node, or {more}",
        )
    return None


def summarize(exclusions: Iterable[Exclusion]) -> list[Exclusion]:
    """Equal reasons counted together, the most frequent first."""
    counts: dict[tuple[str, str, str], int] = {}
    for one in exclusions:
        key = (one.code, one.reason, one.remedy)
        counts[key] = counts.get(key, 0) + one.nodes
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Exclusion(code, nodes, reason, remedy) for (code, reason, remedy), nodes in ordered]


def _milli(value: int) -> str:
    return f"{value / 1000:g} cores"
