"""What this host can be to strangers' jobs: every sandbox tried, every limit attacked, and how to get the rest."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent import available, hardware, interpreter
from hypernode.agent.backends import Backend
from hypernode.agent.home import Home, Policy
from hypernode.agent.sandboxes import cgroup_tree
from hypernode.agent.sandboxes.base import SandboxError
from hypernode.nodes.model import SandboxOffer

LIMITS: Final = ("memory", "processes", "cpu", "time", "disk", "files", "log", "network", "uid", "calls", "host")
"""What a sandbox has to hold, in the order in which people ask."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What of the machine matters to sandboxes."""

    system: str
    distribution: str
    architecture: str
    root: bool
    cgroups: str
    """`v1`, `v2`, or empty."""
    user_namespaces: bool
    landlock: int
    """Version of the kernel's interface; 0 without it."""
    loop_devices: bool
    kvm: bool


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One sandbox."""

    name: str
    offer: SandboxOffer | None
    """What it proved just now; none if it cannot run here."""
    why_not: str
    """Why it cannot run, and what to do about it; empty if it can."""
    code: str
    seconds: float
    """How long proving took."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `remedies` are one line each, without repetition, the most useful first."""

    host: Host
    sandboxes: list[Finding]
    remedies: list[str]

    @property
    def isolation(self) -> int:
        """The best level that anything here reaches."""
        return max((found.offer.isolation for found in self.sandboxes if found.offer), default=0)


async def examine(home: Home, on_progress: Callable[[str], None]) -> Diagnosis:
    """Try every sandbox, one after the other, beside an agent that may be running. Takes some seconds for each.

    Works without a node, too. `on_progress` is told the name of each sandbox before it is tried. Leaves nothing.
    """
    policy = home.config().policy if home.initialised else Policy()
    with tempfile.TemporaryDirectory(prefix="hypernode-doctor-") as folder:
        place = Path(folder)
        # The node's own store spares copying an interpreter; the sandboxes get a home of their own, for an agent's is
        # locked by it.
        python = interpreter.prepare(home.store if home.initialised else place)
        findings = []
        for backend in await available.Store(place, policy, python).backends():
            on_progress(backend.name)
            findings.append(await _try(backend))
        machine = hardware.detect(place)
    findings += [
        Finding(name=name, offer=None, why_not=why, code="sandbox.unavailable", seconds=0.0)
        for name, why in available.missing(policy, [found.name for found in findings])
    ]
    return Diagnosis(host=_host(machine), sandboxes=findings, remedies=_remedies(findings))


async def _try(backend: Backend) -> Finding:
    began = time.monotonic()
    try:
        offer = await backend.probe()
    except SandboxError as error:
        spent = round(time.monotonic() - began, 1)
        return Finding(name=backend.name, offer=None, why_not=str(error), code=error.code, seconds=spent)
    finally:
        await backend.sandbox.close()
    spent = round(time.monotonic() - began, 1)
    return Finding(name=offer.name, offer=offer, why_not="", code="", seconds=spent)


def _host(machine: hardware.Hardware) -> Host:
    return Host(
        system=machine.system,
        distribution=machine.distribution,
        architecture=machine.architecture,
        root=os.geteuid() == 0,
        cgroups=_cgroups(),
        user_namespaces=_number("/proc/sys/user/max_user_namespaces") > 0
        and _number("/proc/sys/kernel/unprivileged_userns_clone", 1) > 0,
        landlock=_landlock(),
        loop_devices=os.access("/dev/loop-control", os.R_OK | os.W_OK),
        kvm=os.access("/dev/kvm", os.R_OK | os.W_OK),
    )


def _cgroups() -> str:
    try:
        mounts = cgroup_tree.controller_mounts()
    except OSError:
        return ""
    return "v1" if "memory" in mounts else "v2" if "" in mounts else ""


def _number(path: str, otherwise: int = 0) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return otherwise


def _landlock() -> int:
    """landlock_create_ruleset(2) without attributes says its version."""
    if sys.platform != "linux":
        return 0
    version: int = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, version)


def _remedies(findings: list[Finding]) -> list[str]:
    offers = [found.offer for found in findings if found.offer is not None]
    if any("python" in offer.runtimes for offer in offers):
        offers = [offer for offer in offers if "python" in offer.runtimes]  # the last resort is none then
    lines = [f"{found.name}: {found.why_not}" for found in findings if found.offer is None]
    for offer in offers:
        grouped: dict[str, list[str]] = {}
        for failure in offer.failed:
            grouped.setdefault(failure.remedy, []).append(failure.limit)
        lines += [f"{offer.name}, {', '.join(limits)}: {remedy}" for remedy, limits in grouped.items()]
    if not any(offer.isolation >= 3 for offer in offers):
        have = "register it" if shutil.which("runsc") else "install gVisor (runsc) and register it"
        lines.append(f"for level 3: {have} as a runtime of Docker: https://gvisor.dev/docs/user_guide/install/")
    return list(dict.fromkeys(lines))
