"""An agent in a process of its own, with three jobs that never end by themselves.

python agent.py HOME STORE ENGINE     with ENGINE in JSON, or null for bubblewrap
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from hostile.backends import AnySandbox, helper_pid, make
from hostile.conftest import job
from hypernode.agent import interpreter as interpreters
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.engine.find import Engine


async def main() -> None:
    """Each job's first words are answered with the process id of the sandbox's helper."""
    home, store = Path(sys.argv[1]), Path(sys.argv[2])
    engine = msgspec.json.decode(sys.argv[3], type=Engine | None, dec_hook=lambda kind, text: kind(text))
    python = interpreters.prepare(store)
    sandbox = make(engine, home, python)
    await asyncio.gather(*(_one(sandbox, python, number) for number in range(3)))


async def _one(sandbox: AnySandbox, python: Interpreter, number: int) -> None:
    task = job(python, "stubborn", key=f"job-{number}")
    await sandbox.prepare(task)
    await sandbox.run(task, lambda stream, data: print("helper", helper_pid(sandbox), flush=True))


if __name__ == "__main__":
    asyncio.run(main())
