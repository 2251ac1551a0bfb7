"""Celery with Redis as broker and result backend, set as its guide to optimizing says for short tasks."""

from __future__ import annotations

from celery import Celery, group

from bench.peers.drivers.driver import WAIT_S, WORKERS, check, same
from bench.peers.drivers.processes import SOCKET, Processes, start_redis

PREFETCH = 128
"""A worker's messages in advance: the guide says to try 50 to 150 for short tasks."""

app = Celery("bench", broker=f"redis+socket://{SOCKET}?virtual_host=0", backend=f"redis+socket://{SOCKET}?virtual_host=1")
app.conf.update(worker_prefetch_multiplier=PREFETCH, broker_connection_retry_on_startup=True)
noop = app.task(name="noop")(same)


class Peer:
    """A worker of two processes; many tasks are one group."""

    package = "celery"

    def __init__(self) -> None:
        self._processes = Processes()

    def start(self) -> None:
        start_redis(self._processes)
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
        self._processes.start_module("celery", "-A", __name__, "worker", "--concurrency", str(WORKERS), *quiet)
        self.one()

    def many(self, tasks: int) -> None:
        check(group(noop.s(number) for number in range(tasks)).apply_async().get(timeout=WAIT_S), list(range(tasks)))

    def one(self) -> None:
        check(noop.delay(1).get(timeout=WAIT_S), 1)

    def stop(self) -> None:
        self._processes.stop()
