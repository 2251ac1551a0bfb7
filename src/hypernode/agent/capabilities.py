"""What a node offers: what the machine has, what its owner lends of it, and what its sandboxes proved. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hypernode.agent.hardware import Hardware
from hypernode.agent.home import Config
from hypernode.kernel import limits
from hypernode.nodes.model import Capabilities, SandboxOffer


def offer(hardware: Hardware, config: Config, sandboxes: Sequence[SandboxOffer], python: str) -> Capabilities:
    """The capabilities to tell a coordinator. `python` is the version jobs get, as in "3.11".

    GPUs are not offered: no sandbox backend can hand one to a job and prove that its limits hold yet.
    """
    policy = config.policy
    return Capabilities(
        cpu_milli=min(hardware.cpu_count * 10 * policy.cpu_percent, limits.CPU_MILLI),
        memory_bytes=min(hardware.memory_bytes * policy.memory_percent // 100, limits.MEMORY_BYTES),
        disk_bytes=min(hardware.disk_free_bytes * policy.disk_percent // 100, limits.DISK_BYTES),
        slots=policy.slots or min(hardware.cpu_count, limits.NODE_LEASES),
        operating_system=(hardware.distribution or hardware.system)[:256],
        architecture=hardware.architecture[:256],
        cpu_model=hardware.cpu_model[:256],
        cpu_count=hardware.cpu_count,
        python=python,
        sandboxes=tuple(sandboxes),
        labels=config.labels,
    )
