"""What every sandbox backend offers: probe, prepare, run, kill, outputs, release, reap.

The life of one task is `prepare` (slow things, never billed) → `run` (billed) → `outputs` (its folder read as
hostile) → `release` (nothing of it is left). The host must look afterwards as if the task had never been there.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from hypernode.agent.collect import Collected, CollectLimits

STDOUT = 1
STDERR = 2
REPORT_BYTES = 16 << 10
"""Of a report, what is beyond is read and dropped."""


class SandboxError(Exception):
    """The sandbox, not the task, failed. `code` is stable; the message says what to do about it.

    Codes: `sandbox.unavailable` (this host cannot run the backend), `sandbox.in_use` (another agent has this home),
    `sandbox.prepare_failed`, `sandbox.launcher_lost`, `sandbox.engine_lost`, `sandbox.no_network`,
    `sandbox.task_unknown`, `sandbox.task_invalid`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one task may use. All are hard: the kernel or the sandbox enforces each of them."""

    cpu_milli: int
    """Thousandths of one CPU, averaged over 100 ms."""
    memory_bytes: int
    """Everything the task holds in memory, its /tmp and /dev/shm and page tables included; never swapped."""
    processes: int
    """Processes and threads together; the sandbox itself takes two of them."""
    tmp_bytes: int
    """Size of /tmp, and of /dev/shm. Counts as memory too."""
    disk_bytes: int
    """Size of the /out volume. A few per cent go to the file system itself."""
    files: int
    """How many files and folders /out may hold."""
    log_bytes: int
    """Standard output and error together. The task is killed on the byte after."""
    wall_ms: int
    """From the start of the sandbox's program to its end, by the monotonic clock."""
    address_bytes: int | None = None
    """Where no cgroup bounds memory: the address space of each process, if not `memory_bytes`. For programs that bound
    what they really use themselves."""


class Mount(msgspec.Struct, frozen=True):
    """A file or folder of the host that the task sees read-only at the absolute path `target`.

    What is in it must be readable to everybody; the folders above it need not be. No volume below it is shown.
    """

    source: Path
    target: str


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A container image that is here, and what its configuration says (OCI image specification, `config`)."""

    root: str
    """What the backend that gave it knows it by: the folder of its files, or an engine's image id."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    working_folder: str


class Login(msgspec.Struct, frozen=True):
    """What opens a private registry. Not shown by `repr`."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"


class ImageError(Exception):
    """An image cannot be had. `job_fault`: it would be the same on every node.

    Codes: `image.not_found`, `image.denied` (the registry wants other credentials), `image.tampered` (what arrived is
    not what the digest names), `image.too_large`, `image.unsupported` (no variant for this machine, or what cannot be
    unpacked), `image.registry_unreachable`, `image.failed`.
    """

    def __init__(self, code: str, message: str, *, job_fault: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.job_fault = job_fault


class Images(Protocol):
    """Where a backend's images come from: a pull-through cache by digest, bounded, the least recently used goes."""

    def hold(self, reference: str, login: Login | None = None) -> AbstractAsyncContextManager[Image]:
        """The image `registry/repository@sha256:…`, pulled if it is not here, for as long as the block runs.

        `sha256` names a manifest, or an index of them, of which this machine's variant is taken. Concurrent calls for
        one image share a pull. Raises ImageError.
        """


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One program to run once. `key` is unique among live tasks and a safe file name (`[A-Za-z0-9._-]`, ≤ 100)."""

    key: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    working_folder: str
    """Absolute, inside: `/tmp`, `/out`, below a mount or in the image; made (empty, read-only) if it does not exist."""
    mounts: tuple[Mount, ...]
    limits: Limits
    outputs: bool
    """Whether the task gets a writable /out."""
    report: bool = False
    """Whether what the program reports becomes `Outcome.report`: for hosts of other programs (WebAssembly), which can
    keep the way there from what they host. The way is the file that the environment variable HYPERNODE_REPORT names,
    or, without the variable, descriptor 0."""
    image: Image | None = None
    """The file system to run in, held for as long as the task lives; the host's own system folders without one."""
    egress: bool = False
    """Whether `listen` will be asked for. Without it no connection leaves the sandbox; with it none but to there."""


class Reason(enum.StrEnum):
    """Why a task ended. Only EXITED leaves the verdict to its exit code."""

    EXITED = "exited"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    LOG_LIMIT = "log_limit"
    DISK_LIMIT = "disk_limit"
    """Only where /out is a watched folder; a volume shows the task an ordinary "no space left"."""
    CANCELLED = "cancelled"
    INFRASTRUCTURE = "infrastructure"
    """The sandbox failed. Not the task's fault; another attempt may help."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the task used. Memory and CPU are zero where the host has no cgroups to measure them with."""

    wall_ms: int
    cpu_ms: int
    memory_peak_bytes: int
    log_bytes: int
    """What was delivered to `on_output`: never above the limit."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended."""

    reason: Reason
    exit_code: int | None
    """The program's own code, 128+n if signal n ended it (as shells say it), None if the sandbox ended it."""
    signal: int | None
    """The signal that ended the program, read from `exit_code`; a program may exit with 128+n by itself, too."""
    usage: Usage
    disk_full: bool
    """/out had no free block or no free inode left at the end."""
    detail: str
    """One line for people, empty if there is nothing to say."""
    report: bytes = b""
    """What the program wrote on its report pipe, at most REPORT_BYTES; empty where the task has none."""


class Failure(msgspec.Struct, frozen=True):
    """A limit that did not hold when the sandbox attacked itself, and the one line that mends it."""

    limit: str
    remedy: str


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend proved on this host. `isolation`: 0 none, 1 some limits, 2 every limit, 3 its own kernel."""

    backend: str
    """As in `bubblewrap`, `docker/runc`, `docker/runsc`, `podman/runc`."""
    isolation: int
    proved: tuple[str, ...]
    """Of memory, processes, cpu, network, time, uid, disk, files, log, calls, host."""
    failed: tuple[Failure, ...]


OnOutput = Callable[[int, bytes], Awaitable[None] | None]
"""Called with 1 (stdout) or 2 (stderr) and what arrived. Awaited, so a slow reader slows the task, never the kill."""

OnStarted = Callable[[], Awaitable[None] | None]


PROXY_PORT = 3128
"""Where a task with `egress` finds its proxy, on its own loopback."""


class Sandbox(Protocol):
    """A backend. Methods may be called concurrently for different keys; every one may raise SandboxError."""

    @property
    def images(self) -> Images | None:
        """Where images for its tasks come from; None if it cannot run any."""

    async def probe(self) -> Capabilities:
        """Attack itself and say what held. Raises `sandbox.unavailable` if nothing can run at all."""

    async def prepare(self, task: Task) -> None:
        """Do what may be slow: volume, mounts, cgroups. Not billed. Leaves nothing behind if it raises."""

    async def run(self, task: Task, on_output: OnOutput, on_started: OnStarted | None = None) -> Outcome:
        """Run a prepared task to its end. On return no process of it is left.

        Always drains; kills at the log limit and the wall limit. Cancelling this coroutine kills the task, waits
        until it is gone and then re-raises.
        """

    async def listen(self, key: str) -> socket.socket:
        """A listening socket on 127.0.0.1:PROXY_PORT *inside* the network of a prepared task with `egress`, for whoever
        answers it out here. Closing it is the caller's. Raises `sandbox.no_network` where the backend cannot do it."""

    async def kill(self, key: str, reason: Reason) -> None:
        """SIGKILL everything of a running task; `run` then returns with `reason`. Unknown keys are ignored."""

    async def outputs(self, key: str, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
        """Copy the finished task's matching outputs into `spool`, each named by its SHA-256. See `collect`."""

    async def release(self, key: str) -> None:
        """Undo `prepare`, destroying the outputs. Idempotent."""

    async def reap(self) -> None:
        """Remove what a killed agent of the same home left behind, and only that. Call before the first task."""

    async def close(self) -> None:
        """Kill and release every task, end the backend. Idempotent."""
