"""What this machine has, as far as it will say. Never fails: what cannot be found out is empty or zero."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
from pathlib import Path

import msgspec
import psutil

NVIDIA_QUERY = "uuid,name,memory.total,driver_version,compute_cap"
NVIDIA_S = 10
MIB = 1 << 20


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One graphics processor, as its driver describes it."""

    vendor: str
    uuid: str
    model: str
    memory_bytes: int
    driver: str
    compute_capability: str
    """NVIDIA's, such as "9.0"; empty for others."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """One machine. What a job may get of it is the operator's decision, not this one's."""

    cpu_count: int
    """Logical processors this process may use."""
    cpu_model: str
    memory_bytes: int
    """What the node may use: the machine's, or less where its cgroup says so."""
    disk_free_bytes: int
    """At the path asked about."""
    system: str
    """Such as "Linux 6.1.0"."""
    distribution: str
    """Such as "Debian GNU/Linux 12 (bookworm)"; empty where there is none."""
    architecture: str
    """As the kernel names it: "x86_64", "aarch64"."""
    python_version: str
    gpus: tuple[Gpu, ...]


def detect(path: Path) -> Hardware:
    """Look at the machine; `path` says which disk. Blocking: up to NVIDIA_S seconds where a driver hangs."""
    return Hardware(
        cpu_count=cpu_count(),
        cpu_model=cpu_model(),
        memory_bytes=memory_bytes(),
        disk_free_bytes=disk_free_bytes(path),
        system=f"{platform.system()} {platform.release()}",
        distribution=distribution(),
        architecture=platform.machine(),
        python_version=platform.python_version(),
        gpus=nvidia_gpus(),
    )


def cpu_count() -> int:
    """At least 1. Respects the affinity this process was given."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def cpu_model(information: str | None = None) -> str:
    """The name the processor gives itself; `information` stands in for /proc/cpuinfo in tests."""
    if information is None:
        try:
            information = Path("/proc/cpuinfo").read_text(errors="replace")
        except OSError:
            information = ""
    for wanted in ("model name", "Hardware", "cpu model"):
        for line in information.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == wanted and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """The machine's memory, or the bound of our own control group where that is smaller. 0 if unknown."""
    try:
        total = int(psutil.virtual_memory().total)
    except (OSError, RuntimeError, ValueError):
        total = 0
    bounds = [bound for path in _memory_bounds() if (bound := _number(path)) > 0]
    return min([total, *bounds]) if total else 0


def disk_free_bytes(path: Path) -> int:
    """Free to this user on the disk of `path` or of its nearest existing parent. 0 if unknown."""
    for candidate in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(candidate).free
        except OSError:
            continue
    return 0


def distribution() -> str:
    """PRETTY_NAME of os-release."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def nvidia_gpus(program: str | None = None) -> tuple[Gpu, ...]:
    """What nvidia-smi lists; nothing where it is missing, hangs or complains."""
    found = program or shutil.which("nvidia-smi")
    if found is None:
        return ()
    try:
        done = subprocess.run(
            [found, f"--query-gpu={NVIDIA_QUERY}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=NVIDIA_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_nvidia(done.stdout) if done.returncode == 0 else ()


def parse_nvidia(listing: str) -> tuple[Gpu, ...]:
    """GPUs from nvidia-smi's CSV; lines that make no sense are left out."""
    gpus: list[Gpu] = []
    for row in csv.reader(listing.splitlines(), skipinitialspace=True):
        if len(row) != len(NVIDIA_QUERY.split(",")):
            continue
        uuid, model, memory, driver, capability = (field.strip() for field in row)
        if not memory.isascii() or not memory.isdigit() or not uuid:
            continue  # such as "[N/A]" of a card that fell off the bus
        gpus.append(
            Gpu(
                vendor="nvidia",
                uuid=uuid,
                model=model,
                memory_bytes=int(memory) * MIB,
                driver=driver,
                compute_capability=capability if capability[:1].isdigit() else "",
            )
        )
    return tuple(gpus)


def _memory_bounds() -> list[Path]:
    """Files that may hold a bound on this process's memory: of its own cgroup, and of the container's root."""
    paths = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return paths
    for line in lines:
        fields = line.split(":", 2)
        if len(fields) != 3:
            continue
        if fields[1] == "":
            paths.append(Path(f"/sys/fs/cgroup{fields[2]}/memory.max"))
        elif "memory" in fields[1].split(","):
            paths.append(Path(f"/sys/fs/cgroup/memory{fields[2]}/memory.limit_in_bytes"))
    return paths


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is not a bound
        return 0
