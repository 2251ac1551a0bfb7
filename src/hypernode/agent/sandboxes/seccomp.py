"""The system calls a job may make, compiled from `seccomp.json` for the kernel.

The profile has the format container engines take, so that every backend can use the same one. Shipping our own is
deliberate: engines' defaults have let through AF_VSOCK, io_uring and new user namespaces, each for years.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import platform
import tempfile
from importlib import resources
from typing import Any

from hypernode.agent.sandboxes.base import SandboxError

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Machine names as the kernel gives them → as profiles write them."""


def profile() -> dict[str, Any]:
    """The profile, as engines take it inline."""
    text = resources.files(__package__).joinpath("seccomp.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


@functools.cache
def program(machine: str = "") -> bytes:
    """The BPF program for a machine, this one by default. Compiled once a process (some 25 ms).

    Raises SandboxError `sandbox.unavailable` if libseccomp is missing or the architecture has no profile.
    """
    machine = machine or platform.machine()
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise SandboxError("sandbox.unavailable", f"no system call profile for {machine}; x86_64 and aarch64 have one")
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError("sandbox.unavailable", f"install libseccomp (apt install libseccomp2): {error}") from error

    compare = {
        "SCMP_CMP_EQ": pyseccomp.EQ,
        "SCMP_CMP_GT": pyseccomp.GT,
        "SCMP_CMP_LT": pyseccomp.LT,
        "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
    }
    document = profile()
    built = pyseccomp.SyscallFilter(pyseccomp.ERRNO(document["defaultErrnoRet"]))
    if ARCHITECTURES.get(platform.machine()) != architecture:
        built.add_arch(pyseccomp.Arch.AARCH64 if architecture == "arm64" else pyseccomp.Arch.X86_64)
        built.remove_arch(pyseccomp.Arch.NATIVE)
    for rule in document["syscalls"]:
        if architecture not in rule.get("includes", {}).get("arches", [architecture]):
            continue
        allowed = rule["action"] == "SCMP_ACT_ALLOW"
        action = pyseccomp.ALLOW if allowed else pyseccomp.ERRNO(rule.get("errnoRet", errno.EPERM))
        arguments = [_argument(pyseccomp, compare, argument) for argument in rule["args"]]
        for name in rule["names"]:
            try:
                built.add_rule(action, name, *arguments)
            except (ValueError, OSError, RuntimeError):
                # libseccomp does not know the name, or the machine hasn't the call: the default action refuses it.
                continue
    with tempfile.TemporaryFile() as file:
        built.export_bpf(file)
        return os.pread(file.fileno(), 1 << 20, 0)


def _argument(pyseccomp: Any, compare: dict[str, Any], argument: dict[str, Any]) -> Any:
    operator = compare[argument["op"]]
    if argument["op"] == "SCMP_CMP_MASKED_EQ":
        return pyseccomp.Arg(argument["index"], operator, argument["value"], argument["valueTwo"])
    return pyseccomp.Arg(argument["index"], operator, argument["value"])
