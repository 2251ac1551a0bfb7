"""What a driver is, and how it is asked: a conversation of JSON messages over a connection of `multiprocessing`."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import random
import signal
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Protocol

FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
"""Where a peer may put its files; gone afterwards."""
DSN = os.environ.get("BENCH_DSN", "")
"""The PostgreSQL of a peer that wants one."""
WORKERS = 2
WAIT_S = 60.0
"""Longest wait for results."""
NOT_COUNTED = 3
"""Tasks one at a time that go before: they may wait for what a peer still tidies up after many."""
PAUSE_S = (0.005, 0.025)
"""Between tasks one at a time, at random, so that no peer's polling falls into step with it."""
_PR_SET_CHILD_SUBREAPER = 36


class Driver(Protocol):
    """One peer with its workers and whatever else it needs, all of them descendants of this process."""

    def version(self) -> str:
        """Its version, and that of what it brings along."""

    def start(self) -> None:
        """Return when the first task may be submitted."""

    def many(self, tasks: int) -> None:
        """Submit so many no-ops in the way its documentation recommends for many, wait for all, check each."""

    def one(self) -> None:
        """Submit one no-op, wait for it, check it."""

    def stop(self) -> None:
        """End everything; also after a start that failed half-way."""


class WrongResults(Exception):
    """A peer did not do what it was asked to do."""


def same(value: int) -> int:
    """The no-op."""
    return value


def check(found: object, wanted: object) -> None:
    """Raises WrongResults where they differ."""
    if found != wanted:
        raise WrongResults(f"the results differ from what was asked for: {str(found)[:200]}")


def serve(driver: Driver, connection: Connection) -> None:
    """Start, then answer `many` and `one` until the other side closes the connection or SIGTERM arrives; then stop.

    A peer's daemons become children of this process when their parents end, so that its descendants are all there is.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _end)
    try:
        driver.start()
        _answer(connection, version=driver.version(), python=platform.python_version())
        while True:
            request = json.loads(connection.recv_bytes())
            if "many" in request:
                began = time.perf_counter()
                driver.many(request["many"])
                _answer(connection, seconds=time.perf_counter() - began)
            else:
                taken_ms = [_timed(driver) for _ in range(NOT_COUNTED + request["one"])]
                _answer(connection, taken_ms=taken_ms[NOT_COUNTED:])
    except EOFError:
        pass
    except Exception:
        _answer(connection, error=traceback.format_exc(limit=-4))
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        driver.stop()


def _timed(driver: Driver) -> float:
    time.sleep(random.uniform(*PAUSE_S))
    began = time.perf_counter()
    driver.one()
    return (time.perf_counter() - began) * 1000


def _answer(connection: Connection, **what: object) -> None:
    connection.send_bytes(json.dumps(what).encode())


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
