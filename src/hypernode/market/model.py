"""Matching, pure: which node can run which work, at what price, and if none, why.

A `Demand` is what of a job matters for that, an `Offer` a node as it is now. `shape` names equal demands with one
number, so that work which fits nowhere is looked at once, not once a task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from hypernode.jobs.model import JobDocument
from hypernode.jobs.views import Exclusion
from hypernode.kernel.money import show
from hypernode.kernel.units import show_bytes
from hypernode.ledger.model import worst_price
from hypernode.nodes.model import Ask, Capabilities

KERNEL_OF_ITS_OWN: Final = 3
"""The isolation level that no mending of a node reaches without another sandbox."""


class Demand(msgspec.Struct, frozen=True, array_like=True):
    """What one task needs of a node."""

    runtime: str
    isolation: int
    cpu_milli: int
    memory_bytes: int
    disk_bytes: int
    gpus: int
    vram_bytes: int
    timeout_s: int
    remaining_cap: int
    """What may still be spent on the task, in µHYPER."""
    egress: bool = False
    ports: bool = False

    @property
    def shape(self) -> int:
        """A 64-bit number that equal demands share (signed, as the database keeps it)."""
        digest = hashlib.sha256(msgspec.msgpack.encode(self)).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


class Offer(msgspec.Struct):
    """A node that is connected: what it has, what it asks, and how much of it is free now. Mutable: matching takes
    from it what it assigns."""

    node: str
    capabilities: Capabilities
    ask: Ask
    free_slots: int
    free_cpu_milli: int
    free_memory_bytes: int
    free_disk_bytes: int
    free_gpus: int
    held_vram_bytes: list[int] = []
    """For each GPU that is taken, how much memory was asked of it."""

    def take(self, demand: Demand) -> None:
        """Reserve what a task needs."""
        self.free_slots -= 1
        self.free_cpu_milli -= demand.cpu_milli
        self.free_memory_bytes -= demand.memory_bytes
        self.free_disk_bytes -= demand.disk_bytes
        self.free_gpus -= demand.gpus
        self.held_vram_bytes += [demand.vram_bytes] * demand.gpus

    def give_back(self, demand: Demand) -> None:
        """Undo `take`."""
        self.free_slots += 1
        self.free_cpu_milli += demand.cpu_milli
        self.free_memory_bytes += demand.memory_bytes
        self.free_disk_bytes += demand.disk_bytes
        self.free_gpus += demand.gpus
        for _ in range(demand.gpus):
            self.held_vram_bytes.remove(demand.vram_bytes)

    def has_room(self, demand: Demand) -> bool:
        """Whether the task fits beside what the node runs now."""
        return (
            self.free_slots >= 1
            and self.free_cpu_milli >= demand.cpu_milli
            and self.free_memory_bytes >= demand.memory_bytes
            and self.free_disk_bytes >= demand.disk_bytes
            and (not demand.gpus or self._has_gpus(demand))
        )

    def _has_gpus(self, demand: Demand) -> bool:
        """Whether all tasks can have GPUs large enough at once: the largest demand with the largest GPU, and so on."""
        wanted = sorted([*self.held_vram_bytes, *[demand.vram_bytes] * demand.gpus], reverse=True)
        there = sorted((gpu.vram_bytes for gpu in self.capabilities.gpus), reverse=True)
        return len(wanted) <= len(there) and all(a <= b for a, b in zip(wanted, there, strict=False))


class Ready(msgspec.Struct, frozen=True):
    """Ready work: the tasks `first` … `beyond - 1` of a job."""

    queue_id: int
    job_id: UUID
    first: int
    beyond: int
    demand: Demand
    shape: int


class Assignment(msgspec.Struct, frozen=True):
    """One task for one node."""

    ready: Ready
    task: int
    node: str


def idle_offer(node: str, capabilities: Capabilities, ask: Ask) -> Offer:
    """The offer of a node that runs nothing."""
    return Offer(
        node=node,
        capabilities=capabilities,
        ask=ask,
        free_slots=capabilities.slots,
        free_cpu_milli=capabilities.cpu_milli,
        free_memory_bytes=capabilities.memory_bytes,
        free_disk_bytes=capabilities.disk_bytes,
        free_gpus=len(capabilities.gpus),
    )


def demand_of(document: JobDocument, remaining_cap: int) -> Demand:
    """What a task of this job needs, with this much of its cap left."""
    gpu = document.resources.gpu
    return Demand(
        runtime=document.runtime.__struct_config__.tag,  # type: ignore[arg-type]  # our tags are strings
        isolation=document.isolation,
        cpu_milli=document.resources.cpu_milli,
        memory_bytes=document.resources.memory_bytes,
        disk_bytes=document.resources.disk_bytes,
        gpus=gpu.count if gpu else 0,
        vram_bytes=gpu.vram_bytes if gpu else 0,
        timeout_s=document.timeout_s,
        remaining_cap=remaining_cap,
        egress=document.egress,
        ports=document.network is not None and bool(document.network.ports),
    )


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


def match(work: Sequence[Ready], offers: Sequence[Offer]) -> tuple[list[Assignment], set[int]]:
    """Assign tasks to nodes: work in the order given, each task to the cheapest eligible node with room, then to the
    one with most free slots, so that tasks of one job spread. Takes from the offers what it assigns.

    Returns the assignments and the shapes that fit nowhere now. Deterministic.
    """
    assignments: list[Assignment] = []
    unfit: set[int] = set()
    eligible: dict[int, list[Offer]] = {}
    for ready in work:
        shape = ready.shape
        if shape in unfit:
            continue
        if shape not in eligible:
            fitting = [o for o in offers if exclusion(ready.demand, o.capabilities, o.ask) is None]
            eligible[shape] = sorted(fitting, key=lambda o: (worst_price(o.ask, ready.demand.timeout_s), o.node))
        for task in range(ready.first, ready.beyond):
            chosen = _choose(ready.demand, eligible[shape])
            if chosen is None:
                unfit.add(shape)
                break
            chosen.take(ready.demand)
            assignments.append(Assignment(ready, task, chosen.node))
    return assignments, unfit


def _choose(demand: Demand, offers: Sequence[Offer]) -> Offer | None:
    best: Offer | None = None
    price = 0
    for offer in offers:  # by price
        worst = worst_price(offer.ask, demand.timeout_s)
        if best is not None and worst > price:
            break
        if offer.has_room(demand) and (best is None or offer.free_slots > best.free_slots):
            best, price = offer, worst
    return best


def _milli(value: int) -> str:
    return f"{value / 1000:g} cores"
