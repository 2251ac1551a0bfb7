"""The coordinator as a process: logging, exit codes, and telling whoever started it that it is ready."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from hypernode.collector import spare_the_collector
from hypernode.coordinator.serve import Running, serve
from hypernode.coordinator.settings import Settings
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, InternalError

log = logging.getLogger("hypernode.coordinator")

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
"""Something its operator can mend; the message says how."""
EXIT_BUG: Final = 70
"""An unexpected error (EX_SOFTWARE of sysexits.h). A supervisor may start it again."""


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a starting coordinator tells whoever waits for it, in one line of JSON. `code` is empty once it serves."""

    pid: int
    url: str = ""
    fingerprint: str = ""
    coordinator_key: str = ""
    postmaster_pid: int | None = None
    code: str = ""
    detail: str = ""


def run(settings: Settings, tell: Callable[[Ready], None] | None = None) -> int:
    """Run a coordinator until a signal stops it; the exit code. `tell` is called once: it serves, or why not."""
    configure_logging()

    def ready(running: Running) -> None:
        spare_the_collector()
        log.info("serving at %s as %s", running.settings.url, running.services.key.public)
        if tell is not None:
            tell(
                Ready(
                    pid=os.getpid(),
                    url=running.settings.url,
                    fingerprint=running.fingerprint.hex(),
                    coordinator_key=running.services.key.public,
                    postmaster_pid=running.postmaster_pid,
                )
            )

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, ready))
    except HypernodeError as error:
        if isinstance(error, InternalError):
            log.critical("the coordinator ends", exc_info=error)
            return EXIT_BUG
        log.error("%s: %s", error.code, error)
        if tell is not None:
            tell(Ready(os.getpid(), code=error.code, detail=str(error)))
        return EXIT_REFUSED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_OK  # stopped before it served
    except BaseException as error:
        log.critical("the coordinator ends: unexpected error", exc_info=error)
        return EXIT_BUG
    return EXIT_OK


def configure_logging() -> None:
    """One line an event to standard error, in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("hypernode").setLevel(logging.INFO)


def main() -> int:
    """`python -m hypernode.coordinator`: the coordinator alone, as a local network and tests start it."""
    parser = argparse.ArgumentParser(prog="python -m hypernode.coordinator", description="Run a coordinator.")
    parser.add_argument("--data", type=Path, required=True, help="its data folder")
    parser.add_argument("--dsn", help="a PostgreSQL to use instead of an embedded one")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one)")
    parser.add_argument("--plain", action="store_true", help="HTTP without TLS")
    parser.add_argument("--lease-ms", type=int, default=limits.LEASE_MS)
    parser.add_argument("--heartbeat-ms", type=int, default=limits.HEARTBEAT_MS)
    parser.add_argument("--grace-ms", type=int, default=limits.RESTART_GRACE_MS)
    parser.add_argument("--registry", action="append", default=[], help="a private image registry that may be asked")
    parser.add_argument("--ready-fd", type=int, help="descriptor to tell in one line of JSON that it serves")
    arguments = parser.parse_args()

    def tell(ready: Ready) -> None:
        if arguments.ready_fd is not None:
            try:
                os.write(arguments.ready_fd, msgspec.json.encode(ready) + b"\n")
                os.close(arguments.ready_fd)
            except BrokenPipeError:
                pass  # whoever waited has left

    return run(
        Settings(
            data=arguments.data,
            dsn=arguments.dsn,
            port=arguments.port,
            plain=arguments.plain,
            lease_ms=arguments.lease_ms,
            heartbeat_ms=arguments.heartbeat_ms,
            grace_ms=arguments.grace_ms,
            registries=tuple(arguments.registry),
        ),
        tell,
    )
