"""What is matched: a `Demand` is what of a job matters for where it can run, `Ready` work that waits, an `Assignment`
one of its tasks for one node. `shape` names equal demands with one number, so that work which fits nowhere is looked
at once, not once a task.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

import msgspec

from hypernode.jobs.model import ContainerRuntime, JobDocument, PythonRuntime
from hypernode.kernel import limits


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
    labels: tuple[tuple[str, str], ...] = ()
    """Labels that the node must have, sorted."""

    @property
    def shape(self) -> int:
        """A 64-bit number that equal demands share (signed, as the database keeps it)."""
        digest = hashlib.sha256(msgspec.msgpack.encode(self)).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


class Ready(msgspec.Struct, frozen=True):
    """Ready work: the tasks `first` … `beyond - 1` of a job."""

    queue_id: int
    job_id: UUID
    first: int
    beyond: int
    demand: Demand
    shape: int
    project: UUID = UUID(int=0)
    rank: float = 0.0
    """Its turn among the work of its project: lower comes first. Seconds; see `fairness.rank_of`."""
    needs: tuple[str, ...] = ()
    """What a node must fetch or build before it can run, by name: see `needs_of`."""


class Assignment(msgspec.Struct, frozen=True):
    """One task for one node."""

    ready: Ready
    task: int
    node: str


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
        labels=tuple(sorted(document.node_labels.items())),
    )


def needs_of(document: JobDocument) -> tuple[str, ...]:
    """What is worth having on a node before a task comes: its environment or image, and inputs of at least 1 MiB (a
    WebAssembly module among them). At most 8 names, the largest first."""
    found: list[tuple[int, str]] = []
    if isinstance(document.runtime, PythonRuntime) and document.runtime.requirements is not None:
        found.append((limits.ARTIFACT_BYTES, document.runtime.requirements.sha256))
    if isinstance(document.runtime, ContainerRuntime):
        found.append((limits.ARTIFACT_BYTES, document.runtime.image))
    found += [(one.size_bytes, one.sha256) for one in document.inputs.values() if one.size_bytes >= limits.MIB]
    return tuple(name for _, name in sorted(found, reverse=True)[:8])
