"""From a lease to what the sandbox is asked to run, and from how that ended to what the node signs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.collect import Collected, CollectLimits
from hypernode.agent.environments import Environment
from hypernode.agent.logs import PAYLOAD_BYTES
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import PROXY_PORT, Image, Limits, Mount, Reason, Task
from hypernode.agent.sandboxes.base import Outcome as SandboxOutcome
from hypernode.jobs.model import ContainerRuntime, JobDocument, PythonRuntime
from hypernode.jobs.outputs import Patterns
from hypernode.kernel import ids, limits
from hypernode.kernel.canonical import content_id
from hypernode.ledger.receipt import Outcome, OutputFile, ReceiptBody, Run, Traffic, Work
from hypernode.protocol.messages import LeaseRef

PROCESSES: Final = 512
"""Processes and threads of one task."""
BYTES_PER_FILE: Final = 16 * limits.KIB
DISK_LEAST_BYTES: Final = 8 * limits.MIB
"""The smallest /out a file system fits into. What is collected of it is bounded by what the job asked for."""
NOTED: Final = 20
"""Outputs that were not collected and are named in the log."""

_PROXY: Final = f"http://127.0.0.1:{PROXY_PORT}"

_OUTCOMES: Final = {
    Reason.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    Reason.TIMEOUT: Outcome.TIMEOUT,
    Reason.LOG_LIMIT: Outcome.LOG_LIMIT,
    Reason.DISK_LIMIT: Outcome.OUTPUT_LIMIT,
    Reason.CANCELLED: Outcome.CANCELLED,
}


def lease_key(lease: LeaseRef) -> str:
    """The lease as a file name: job, task and epoch."""
    return f"{ids.text(lease.job_id)}-{lease.task}-{lease.epoch}"


def task(lease: LeaseRef, document: JobDocument, inputs: Mapping[str, Path], environment: Environment) -> Task:
    """What to run for a Python job. `inputs` are files of the node by SHA-256."""
    runtime = document.runtime
    assert isinstance(runtime, PythonRuntime)
    if runtime.script is not None:
        what: tuple[str, ...] = (f"/in/{runtime.script}",)
    elif runtime.module is not None:
        what = ("-m", runtime.module)
    else:
        what = ("-c", runtime.code or "")
    outputs = bool(document.outputs)
    return Task(
        key=lease_key(lease),
        argv=(environment.python, *what, *runtime.arguments),
        environment=_variables(lease, document, environment),
        working_folder="/out" if outputs else "/tmp",
        mounts=(
            *environment.mounts,
            *input_mounts(document, inputs),
        ),
        limits=task_limits(document),
        outputs=outputs,
        egress=document.egress,
    )


def container_task(lease: LeaseRef, document: JobDocument, inputs: Mapping[str, Path], image: Image) -> Task:
    """What to run for a container job: the image's own configuration, below what the document says."""
    runtime = document.runtime
    assert isinstance(runtime, ContainerRuntime)
    entrypoint = runtime.entrypoint if runtime.entrypoint is not None else image.entrypoint
    arguments = runtime.arguments
    if arguments is None:
        arguments = image.command if runtime.entrypoint is None else ()
    argv = (*entrypoint, *arguments)
    if not argv or not argv[0]:
        raise GiveBack("image.unsupported", "the image names no program; give an entrypoint", job_fault=True)
    outputs = bool(document.outputs)
    folder = runtime.working_folder or image.working_folder
    return Task(
        key=lease_key(lease),
        argv=argv,
        environment={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            **image.environment,
            "HOME": "/tmp",  # an image's own home is read-only, and another user's
            **_proxy_variables(document),
            **document.environment,
            **_own_variables(lease, document),
        },
        working_folder=folder if folder not in ("", "/") else "/out" if outputs else "/tmp",
        mounts=input_mounts(document, inputs),
        limits=task_limits(document),
        outputs=outputs,
        image=image,
        egress=document.egress,
    )


def input_mounts(document: JobDocument, inputs: Mapping[str, Path]) -> tuple[Mount, ...]:
    """The inputs below /in."""
    return tuple(Mount(inputs[artifact.sha256], f"/in/{name}") for name, artifact in document.inputs.items())


def task_limits(document: JobDocument) -> Limits:
    """What the document lets a task use, as the sandbox enforces it."""
    needs = document.resources
    disk_bytes = max(needs.disk_bytes, DISK_LEAST_BYTES)
    return Limits(
        cpu_milli=needs.cpu_milli,
        memory_bytes=needs.memory_bytes,
        processes=PROCESSES,
        tmp_bytes=needs.memory_bytes // 2,  # it counts as memory: a full /tmp must not be the end of the task
        disk_bytes=disk_bytes,
        files=max(1024, min(1_000_000, disk_bytes // BYTES_PER_FILE)),
        log_bytes=PAYLOAD_BYTES,
        wall_ms=document.timeout_s * 1000,
    )


def _own_variables(lease: LeaseRef, document: JobDocument) -> dict[str, str]:
    """What a job is told about itself."""
    own = {
        "HYPERNODE_IN": "/in",
        "HYPERNODE_OUT": "/out",
        "HYPERNODE_JOB_ID": ids.text(lease.job_id),
        "HYPERNODE_ATTEMPT": str(lease.epoch),
    }
    if document.array is not None:
        own["HYPERNODE_ARRAY_SIZE"] = str(document.array.size)
        own[document.array.index_variable] = str(lease.task)
    return own


def _proxy_variables(document: JobDocument) -> dict[str, str]:
    """How programs find the way out: by convention, and in both spellings that are one."""
    if not document.egress:
        return {}
    upper = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _PROXY)
    upper["NO_PROXY"] = "localhost,127.0.0.1,::1"
    return {**upper, **{name.lower(): value for name, value in upper.items()}}


def _variables(lease: LeaseRef, document: JobDocument, environment: Environment) -> dict[str, str]:
    return {
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PATH": "/env/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",  # so that a log streams
        **environment.environment,
        **_proxy_variables(document),
        **document.environment,
        **_own_variables(lease, document),
    }


def collect_limits(document: JobDocument) -> CollectLimits:
    """What is collected at most."""
    return CollectLimits(
        files=limits.OUTPUT_FILES,
        total_bytes=min(document.resources.disk_bytes, limits.ARTIFACT_BYTES),  # what a coordinator takes,
        depth=limits.OUTPUT_DEPTH,
        path_bytes=limits.PATH_CHARS,
    )


class Verdict(msgspec.Struct, frozen=True):
    """How a task ended, in the receipt's words; `notes` are lines for its log that say why."""

    outcome: Outcome
    exit_code: int | None
    signal: int | None
    outputs: tuple[OutputFile, ...]
    notes: tuple[str, ...] = ()
    fuel: int | None = None


def judge(document: JobDocument, ended: SandboxOutcome, collected: Collected | None) -> Verdict:
    """What happened. Raises GiveBack where it was the sandbox that failed.

    Outputs that cannot be had only change the verdict of a task that itself succeeded: what already failed has its
    own reason.
    """
    if ended.reason is Reason.INFRASTRUCTURE:
        raise GiveBack("sandbox.failed", ended.detail or "the sandbox failed")
    outputs, notes = _outputs(document, collected)
    if ended.reason is not Reason.EXITED:
        why = ended.detail or ended.reason.value.replace("_", " ")
        return Verdict(_OUTCOMES[ended.reason], None, None, outputs, (f"ended: {why}", *notes))
    if ended.signal is not None:
        return Verdict(Outcome.SIGNALLED, None, ended.signal, outputs, (f"ended by signal {ended.signal}", *notes))
    if ended.exit_code == 0 and document.outputs:
        if collected is not None and collected.rejected_count:
            return Verdict(Outcome.OUTPUT_LIMIT, 0, None, outputs, notes)
        missing = Patterns(document.outputs).missing(file.path for file in outputs)
        if missing:
            said = tuple(f"declared output {name} is not there" for name in missing[:NOTED])
            return Verdict(Outcome.OUTPUT_MISSING, 0, None, outputs, (*notes, *said))
    return Verdict(Outcome.EXITED, ended.exit_code, None, outputs, notes)


def _outputs(document: JobDocument, collected: Collected | None) -> tuple[tuple[OutputFile, ...], tuple[str, ...]]:
    if collected is None:
        return (), ()
    outputs = tuple(OutputFile(file.path, file.sha256, file.size_bytes) for file in collected.accepted)
    notes = [f"output {refused.path} was not collected: {refused.why.value}" for refused in collected.rejected[:NOTED]]
    if collected.rejected_count > NOTED:
        notes.append(f"{collected.rejected_count - NOTED} more outputs were not collected")
    return outputs, tuple(notes)


def receipt_body(
    lease: LeaseRef,
    document: bytes,
    verdict: Verdict,
    ended: SandboxOutcome,
    *,
    node: str,
    started_at_ms: int,
    ended_at_ms: int,
    log_bytes: int,
    log_root: str,
    sandbox: str,
    isolation: int,
    egress: Traffic | None,
) -> ReceiptBody:
    """What the node signs. `document` is the canonical job document; `egress` is None for a job without any."""
    usage = ended.usage
    return ReceiptBody(
        work=Work(
            job=content_id(document),
            task=lease.task,
            outcome=verdict.outcome,
            exit_code=verdict.exit_code,
            signal=verdict.signal,
            outputs=verdict.outputs,
        ),
        run=Run(
            job_id=ids.text(lease.job_id),
            epoch=lease.epoch,
            node=node,
            started_at_ms=started_at_ms,
            ended_at_ms=max(ended_at_ms, started_at_ms),
            wall_ms=usage.wall_ms,
            cpu_ms=usage.cpu_ms,
            memory_peak_bytes=usage.memory_peak_bytes,
            log_bytes=log_bytes,
            log_root=log_root,
            sandbox=sandbox,
            isolation=isolation,
            fuel=verdict.fuel,
            egress=egress,
        ),
    )
