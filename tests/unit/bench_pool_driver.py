"""A driver whose peer is the standard library's pool of processes; tests tell it to misbehave by `BENCH_DSN`."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench.peers.drivers.driver import DSN, FOLDER, check, same


def _spin(value: int) -> int:
    sum(range(20_000))
    return value


class Peer:
    """Two worker processes, and a daemon that has left the process group and its parent behind."""

    def version(self) -> str:
        return "of this Python"

    def start(self) -> None:
        if DSN == "broken":
            raise RuntimeError("this peer does not start")
        program = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
        leave = "import os, subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
        daemon = [sys.executable, "-c", program, str(FOLDER / "daemon.new")]
        subprocess.run([sys.executable, "-c", leave, *daemon], check=True)
        self._pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))

    def many(self, tasks: int) -> None:
        if DSN == "killed":
            os.kill(os.getpid(), 9)
        wanted = 0 if DSN == "wrong" else tasks
        check(sum(1 for _ in self._pool.map(_spin, range(tasks))), wanted)

    def one(self) -> None:
        check(self._pool.submit(same, 1).result(), 1)

    def stop(self) -> None:
        if DSN != "broken":
            self._pool.shutdown()
