"""How a container ended, read from what the engine, the keeper and the clock say. Pure."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any, Final

import msgspec

from hypernode.agent.sandboxes.base import REPORT_BYTES, Outcome, Reason, Usage

NEAR_LIMIT: Final = 0.9
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
SIGKILLED: Final = 137
DETAIL_CHARS: Final = 300

# Everything was ready but the task's own program: as runc and Podman say it, gVisor in two ways, crun in two.
_PROGRAM = re.compile(
    r"(exec: \"|creating process: failed to load |error finding executable |executable file `|open executable: "
    r"|chdir to cwd \()"
)
_SUFFIX = re.compile(r": (unknown|OCI (runtime|permission)[^:]*)$")


class State(msgspec.Struct, rename="pascal"):
    """What an engine says of a container."""

    pid: int = 0
    running: bool = False
    exit_code: int = 0
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    error: str = ""
    started_at: str = ""
    finished_at: str = ""


class Inspected(msgspec.Struct, rename="pascal"):
    """The part of `GET /containers/ID/json` that matters."""

    state: State


class Kept(msgspec.Struct):
    """What the keeper saw of a task."""

    ended_at: float
    """By the monotonic clock; 0 if it did not see it."""
    measured: bool
    cpu_ms: int
    memory_peak_bytes: int
    memory_kills: int
    disk_full: bool
    report: str

    @property
    def reported(self) -> bytes:
        """What the program reported."""
        return base64.b64decode(self.report)[:REPORT_BYTES]


class Clock(msgspec.Struct, frozen=True):
    """When the engine was asked to start a container, when it had, and now: monotonic seconds; and now as of 1970."""

    asked: float
    answered: float
    now: float
    now_wall: float


def not_startable(message: str) -> tuple[int, str] | None:
    """Exit code and detail if an engine could not start the program because of the program, else None."""
    found = list(_PROGRAM.finditer(message))
    if not found:
        return None
    detail = _SUFFIX.sub("", message[found[0].start() :])
    code = NOT_EXECUTABLE if "permission denied" in detail.lower() else NOT_FOUND
    return code, detail[:DETAIL_CHARS]


def wall_ms(state: State, ended_at: float, clock: Clock) -> int:
    """From the start of the program to its end.

    The engine's own times, but for the end, which the keeper sees sooner. They lie within what our clock saw, whatever
    becomes of the engine's.
    """
    started = min(max(clock.now - (clock.now_wall - _seconds(state.started_at)), clock.asked), clock.answered)
    if not ended_at:
        ended_at = clock.now - (clock.now_wall - _seconds(state.finished_at))
    return round(max(0.0, min(ended_at, clock.now) - started) * 1000)


def outcome(
    reason: Reason | None, code: int, state: State, kept: Kept, memory_bytes: int, wall_ms: int, log_bytes: int
) -> Outcome:
    """The verdict. `reason` is why it was killed, if it was; `code` is the container's exit code."""
    detail = ""
    if reason is None:
        reason = Reason.EXITED
        # The whole host may run out of memory as well: a kill far below the job's own limit isn't the job's fault.
        at_limit = kept.memory_peak_bytes >= memory_bytes * NEAR_LIMIT or not kept.measured
        killed = kept.memory_kills > 0 or state.oom_killed or (code == SIGKILLED and not kept.measured)
        if at_limit and killed and code != 0:
            reason, detail = Reason.OUT_OF_MEMORY, "a process was killed at the memory limit"
    ended = reason in (Reason.EXITED, Reason.OUT_OF_MEMORY)
    return Outcome(
        reason=reason,
        exit_code=code if ended else None,
        signal=code - 128 if ended and 128 < code <= 192 else None,
        usage=Usage(
            wall_ms=wall_ms,
            cpu_ms=kept.cpu_ms,
            memory_peak_bytes=min(kept.memory_peak_bytes, memory_bytes),
            log_bytes=log_bytes,
        ),
        disk_full=kept.disk_full,
        detail=detail,
        report=kept.reported,
    )


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def kept(answer: dict[str, Any]) -> Kept:
    """The keeper's answer, typed."""
    return msgspec.convert(answer, Kept, strict=False)
