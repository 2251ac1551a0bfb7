"""Dramatiq with Redis as broker and result backend."""

from __future__ import annotations

from importlib.metadata import version

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers.drivers.driver import WAIT_S, WORKERS, check, same
from bench.peers.drivers.processes import SOCKET, Processes, redis_version, start_redis

WAIT_MS = int(WAIT_S * 1000)

broker = RedisBroker(url=f"unix://{SOCKET}?db=0")
broker.add_middleware(Results(backend=RedisBackend(url=f"unix://{SOCKET}?db=1")))
dramatiq.set_broker(broker)
noop = dramatiq.actor(store_results=True, actor_name="noop")(same)


class Peer:
    """Two processes with its default of eight threads; many tasks are one group."""

    def __init__(self) -> None:
        self._processes = Processes()

    def version(self) -> str:
        return f"{version('dramatiq')} with {redis_version()}"

    def start(self) -> None:
        start_redis(self._processes)
        self._processes.start_module("dramatiq", __name__, "--processes", str(WORKERS))
        self.one()

    def many(self, tasks: int) -> None:
        running = dramatiq.group([noop.message(number) for number in range(tasks)]).run()
        check(list(running.get_results(block=True, timeout=WAIT_MS)), list(range(tasks)))

    def one(self) -> None:
        check(noop.send(1).get_result(block=True, timeout=WAIT_MS), 1)

    def stop(self) -> None:
        self._processes.stop()
