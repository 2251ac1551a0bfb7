"""What tests of the bubblewrap sandbox share: modest limits, and a task from its preparation to its release."""

from __future__ import annotations

from hypernode.agent.sandboxes.base import Limits, Outcome, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=256 * MIB,
    processes=64,
    tmp_bytes=16 * MIB,
    disk_bytes=16 * MIB,
    files=256,
    log_bytes=MIB,
    wall_ms=20_000,
)


async def run(sandbox: BubblewrapSandbox, task: Task) -> tuple[Outcome, str, str]:
    """How a task ended, and what it wrote to stdout and stderr."""
    streams: dict[int, bytes] = {1: b"", 2: b""}

    def on_output(stream: int, data: bytes) -> None:
        streams[stream] += data

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(task.key)
    return outcome, streams[1].decode(), streams[2].decode()
