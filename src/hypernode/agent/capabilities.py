"""What a node offers: what the machine has, what its owner lends of it, and what its sandbox proved. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hypernode.agent.hardware import Hardware
from hypernode.agent.home import Config
from hypernode.agent.sandboxes.base import Capabilities as Proved
from hypernode.kernel import limits
from hypernode.nodes.model import Capabilities, Failure


def offer(
    hardware: Hardware, config: Config, proved: Proved, python: str, runtimes: Sequence[str] = ("python",)
) -> Capabilities:
    """The capabilities to tell a coordinator. `python` is the version jobs get, as in "3.11"; `runtimes` are those
    that were seen to work.

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
        runtimes=tuple(runtimes),
        sandbox=proved.backend[:64],
        isolation=proved.isolation,
        proved=tuple(name[:256] for name in proved.proved[:64]),
        failed=tuple(Failure(failure.limit[:256], failure.remedy[:1024]) for failure in proved.failed[:64]),
        labels=config.labels,
    )
