"""Celery with Redis as broker and result backend, set as its guide to optimizing says for short tasks."""

from __future__ import annotations

from importlib.metadata import version

from celery import Celery
from celery.result import ResultSet

from bench.peers.drivers.driver import WAIT_S, WORKERS, check, same
from bench.peers.drivers.processes import SOCKET, Processes, redis_version, start_redis

PREFETCH = 128
"""A worker's messages in advance: the guide says to try 50 to 150 for short tasks."""

app = Celery(
    "bench", broker=f"redis+socket://{SOCKET}?virtual_host=0", backend=f"redis+socket://{SOCKET}?virtual_host=1"
)
app.conf.update(worker_prefetch_multiplier=PREFETCH, broker_connection_retry_on_startup=True)
noop = app.task(name="noop")(same)


class Peer:
    """A worker of two processes; many tasks are as many calls of `delay`, which cost less than one `group`, and are
    waited for together."""

    def __init__(self) -> None:
        self._processes = Processes()

    def version(self) -> str:
        return f"{version('celery')} with {redis_version()}"

    def start(self) -> None:
        start_redis(self._processes)
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
        self._processes.start_module("celery", "-A", __name__, "worker", "--concurrency", str(WORKERS), *quiet)
        self.one()

    def many(self, tasks: int) -> None:
        check(ResultSet([noop.delay(number) for number in range(tasks)]).get(timeout=WAIT_S), list(range(tasks)))

    def one(self) -> None:
        check(noop.delay(1).get(timeout=WAIT_S), 1)

    def stop(self) -> None:
        self._processes.stop()
