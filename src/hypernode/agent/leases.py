"""The table of leases a node holds: what fits, what is running, what is said about them. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from hypernode.jobs.model import Resources
from hypernode.kernel import limits
from hypernode.kernel.errors import InvariantViolated
from hypernode.nodes.model import Capabilities
from hypernode.protocol.messages import LeaseRef, NodeMessage, Refuse, Report, Running


class Phase(enum.StrEnum):
    """Where a lease is on this node."""

    PREPARING = "preparing"  # inputs, environment, sandbox
    RUNNING = "running"  # its process runs
    DELIVERING = "delivering"  # it has a signed result; outputs and log are on their way
    REPORTED = "reported"  # everything is delivered but the acknowledgement of the report
    REFUSED = "refused"  # given back; the coordinator has not acknowledged that yet


_FOLLOWS = {
    Phase.PREPARING: {Phase.RUNNING, Phase.REFUSED},
    Phase.RUNNING: {Phase.DELIVERING, Phase.REFUSED},
    Phase.DELIVERING: {Phase.REPORTED, Phase.REFUSED},
    Phase.REPORTED: {Phase.REFUSED},
    Phase.REFUSED: set(),
}


class Held:
    """One lease this node holds."""

    __slots__ = ("lease", "needs", "phase", "refuse", "report")

    def __init__(self, lease: LeaseRef, needs: Resources | None, phase: Phase) -> None:
        """`needs` is what is reserved for it until its process has ended; None reserves nothing (a result that an
        earlier agent of this home left to deliver)."""
        self.lease = lease
        self.needs = needs
        self.phase = phase
        self.report: Report | None = None
        self.refuse: Refuse | None = None


class Leases:
    """All leases of one node. Every change is a method here, so that what is reserved and what is said never differ."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._held: dict[LeaseRef, Held] = {}
        self._slots = 0
        self._cpu_milli = 0
        self._memory_bytes = 0
        self._disk_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def get(self, lease: LeaseRef) -> Held | None:
        """The lease, if it is held under exactly this epoch."""
        return self._held.get(lease)

    def offer(self, capabilities: Capabilities) -> None:
        """What the node offers has been proved anew; what is reserved stays so."""
        self._capabilities = capabilities

    def why_not(self, needs: Resources) -> str | None:
        """Why a task with these needs cannot start now, or None if it fits."""
        offered = self._capabilities
        if len(self._held) >= limits.NODE_LEASES:
            return f"the node holds {len(self._held)} leases already"
        if self._slots >= offered.slots:
            return f"all {offered.slots} slots are taken"
        for name, used, more, whole in (
            ("cpu_milli", self._cpu_milli, needs.cpu_milli, offered.cpu_milli),
            ("memory_bytes", self._memory_bytes, needs.memory_bytes, offered.memory_bytes),
            ("disk_bytes", self._disk_bytes, needs.disk_bytes, offered.disk_bytes),
        ):
            if used + more > whole:
                return f"{name}: {more} wanted, {whole - used} of {whole} free"
        if needs.gpu is not None:
            return "this node offers no GPU"
        return None

    def take(self, lease: LeaseRef, needs: Resources) -> Held:
        """Reserve for a lease that fits (`why_not` said None)."""
        if lease in self._held or self.why_not(needs) is not None:
            raise InvariantViolated(f"lease {lease} was taken though it does not fit")
        held = self._held[lease] = Held(lease, needs, Phase.PREPARING)
        self._reserve(needs, 1)
        return held

    def recover(self, lease: LeaseRef) -> Held:
        """A result of an earlier agent that is still to be delivered."""
        held = self._held[lease] = Held(lease, None, Phase.DELIVERING)
        return held

    def started(self, held: Held) -> Running:
        """The process has started."""
        self._to(held, Phase.RUNNING)
        return Running(held.lease)

    def finished(self, held: Held) -> None:
        """The process has ended and its result is in the journal: what was reserved is free again."""
        self._to(held, Phase.DELIVERING)
        self._free(held)

    def delivered(self, held: Held, report: Report) -> Report:
        """Outputs and log have arrived: the report may go."""
        self._to(held, Phase.REPORTED)
        held.report = report
        return report

    def refused(self, held: Held, code: str, detail: str, job_fault: bool = False) -> Refuse:
        """The lease goes back. It is held (and said to be) until a coordinator has acknowledged that."""
        self._to(held, Phase.REFUSED)
        self._free(held)
        held.refuse = Refuse(held.lease, code[:64], detail[:4096], job_fault)
        return held.refuse

    def forget(self, lease: LeaseRef) -> Held | None:
        """Nothing more is owed for this lease."""
        held = self._held.pop(lease, None)
        if held is not None:
            self._free(held)
        return held

    def holds(self) -> tuple[LeaseRef, ...]:
        """Everything held, for Hello and Heartbeat."""
        return tuple(self._held)

    def running(self) -> tuple[LeaseRef, ...]:
        """Those whose process runs now: the evidence that billing goes by."""
        return tuple(held.lease for held in self._held.values() if held.phase is Phase.RUNNING)

    def busy(self) -> int:
        """Tasks that are prepared or run."""
        return self._slots

    def resume(self) -> list[NodeMessage]:
        """What to say again after a reconnect, when nobody knows what of it arrived before. Reports are not in it:
        they come after the end of their log has been acknowledged on this connection."""
        messages: list[NodeMessage] = []
        for held in self._held.values():
            if held.phase is Phase.RUNNING:
                messages.append(Running(held.lease))
            elif held.refuse is not None:
                messages.append(held.refuse)
        return messages

    def _to(self, held: Held, phase: Phase) -> None:
        if phase not in _FOLLOWS[held.phase]:
            raise InvariantViolated(f"lease {held.lease} cannot go from {held.phase} to {phase}")
        held.phase = phase

    def _free(self, held: Held) -> None:
        if held.needs is not None:
            self._reserve(held.needs, -1)
            held.needs = None

    def _reserve(self, needs: Resources, sign: int) -> None:
        self._slots += sign
        self._cpu_milli += sign * needs.cpu_milli
        self._memory_bytes += sign * needs.memory_bytes
        self._disk_bytes += sign * needs.disk_bytes
