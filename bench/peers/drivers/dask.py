"""Dask's distributed scheduler."""

from __future__ import annotations

import logging
from importlib.metadata import version

import dask
from distributed import Client, LocalCluster

from bench.peers.drivers.driver import WORKERS, check, same

# Tasks are sent at once rather than held back for idle workers: documented as the better choice for many tiny ones.
dask.config.set({"distributed.scheduler.worker-saturation": float("inf")})


class Peer:
    """Two worker processes of one thread, the scheduler in this process as `LocalCluster` has it; many tasks are one
    `map` and one `gather`."""

    def __init__(self) -> None:
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None

    def version(self) -> str:
        return version("distributed")

    def start(self) -> None:
        self._cluster = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        )
        self._client = Client(self._cluster)
        self.one()

    def many(self, tasks: int) -> None:
        assert self._client is not None
        check(self._client.gather(self._client.map(same, range(tasks), pure=False)), list(range(tasks)))

    def one(self) -> None:
        assert self._client is not None
        check(self._client.submit(same, 1, pure=False).result(), 1)

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
