"""HyperQueue, whose tasks are processes: the no-op is /bin/true."""

from __future__ import annotations

import os
import select
from importlib.metadata import version

os.environ["TQDM_DISABLE"] = "1"  # its client shows a bar while it waits

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from bench.peers.drivers.driver import FOLDER, WAIT_S, WORKERS, check

SIGNAL = FOLDER / "signal"


class Peer:
    """Server and a worker of two cores in this process, as its Python interface has it; many tasks are one job. Waiting
    raises unless every task has ended with exit code 0. Its tasks write no output files, its server no journal.

    The client asks the server once a second, which would be all there is to see of one task at a time: that one says by
    itself, through a pipe, that it runs."""

    def __init__(self) -> None:
        self._cluster: LocalCluster | None = None

    def version(self) -> str:
        return version("hyperqueue")

    def start(self) -> None:
        self._cluster = LocalCluster(str(FOLDER), WorkerConfig(cores=WORKERS))
        self._client = self._cluster.client()
        os.mkfifo(SIGNAL)
        self._signal = os.open(SIGNAL, os.O_RDWR)  # for writing, too, so that it never comes to its end
        self.one()

    def many(self, tasks: int) -> None:
        job = Job(default_workdir=str(FOLDER))
        for _ in range(tasks):
            job.program(["/bin/true"], stdout=None, stderr=None)
        self._client.wait_for_jobs([self._client.submit(job)])

    def one(self) -> None:
        job = Job(default_workdir=str(FOLDER))
        job.program(["/bin/sh", "-c", f"echo >{SIGNAL}"], stdout=None, stderr=None)
        self._client.submit(job)
        if not select.select([self._signal], [], [], WAIT_S)[0]:
            raise TimeoutError("the task did not run")
        check(os.read(self._signal, 16), b"\n")

    def stop(self) -> None:
        if self._cluster is not None:
            self._cluster.stop()
