"""Ray on one machine."""

from __future__ import annotations

import os
from importlib.metadata import version

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray reads it when it is imported

import ray

from bench.peers.drivers.driver import FOLDER, WAIT_S, WORKERS, check, same

OBJECTS_BYTES = 256 << 20


class Peer:
    """A cluster with room for two tasks; many tasks are one list of references."""

    def version(self) -> str:
        return version("ray")

    def start(self) -> None:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=OBJECTS_BYTES,
            _temp_dir=str(FOLDER),
            _node_ip_address="127.0.0.1",
        )
        self._noop = ray.remote(same)
        self.one()

    def many(self, tasks: int) -> None:
        check(ray.get([self._noop.remote(number) for number in range(tasks)], timeout=WAIT_S), list(range(tasks)))

    def one(self) -> None:
        check(ray.get(self._noop.remote(1), timeout=WAIT_S), 1)

    def stop(self) -> None:
        ray.shutdown()
