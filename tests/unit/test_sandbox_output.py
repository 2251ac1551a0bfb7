"""What a sandbox says of a task that has ended."""

from __future__ import annotations

from hypernode.agent.sandboxes.base import Reason
from hypernode.agent.sandboxes.output import OutputLog, outcome

ENDED = {
    "reason": "exited",
    "exit_code": 0,
    "raw_exit": 0,
    "wall_ms": 1,
    "cpu_ms": 1,
    "memory_peak_bytes": 1,
    "disk_full": False,
}


async def test_more_log_than_allowed_is_said_even_of_what_ended_before_it_was_killed() -> None:
    async def too_late() -> None:
        """The task has ended by itself."""

    log = OutputLog(4, lambda stream, data: None, too_late)
    assert await log.admit(1, b"four") == b"four"
    assert (outcome(ENDED, log).reason, outcome(ENDED, log).exit_code) == (Reason.EXITED, 0)
    assert await log.admit(1, b"!") == b""
    assert (outcome(ENDED, log).reason, outcome(ENDED, log).exit_code) == (Reason.LOG_LIMIT, None)
