"""HyperQueue, whose tasks are processes: the no-op is /bin/true."""

from __future__ import annotations

import os

os.environ["TQDM_DISABLE"] = "1"  # its client shows a bar while it waits

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from bench.peers.drivers.driver import FOLDER, WORKERS


class Peer:
    """Server and a worker of two cores in this process, as its Python interface has it; many tasks are one job. Waiting
    raises unless every task has ended with exit code 0. Its tasks write no output files, its server no journal."""

    package = "hyperqueue"

    def __init__(self) -> None:
        self._cluster: LocalCluster | None = None

    def start(self) -> None:
        self._cluster = LocalCluster(FOLDER, WorkerConfig(cores=WORKERS))
        self._client = self._cluster.client()
        self.one()

    def many(self, tasks: int) -> None:
        job = Job(default_workdir=FOLDER)
        for _ in range(tasks):
            job.program(["/bin/true"], stdout=None, stderr=None)
        self._client.wait_for_jobs([self._client.submit(job)])

    def one(self) -> None:
        self.many(1)

    def stop(self) -> None:
        if self._cluster is not None:
            self._cluster.stop()
