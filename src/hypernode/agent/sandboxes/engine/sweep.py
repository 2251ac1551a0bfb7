"""Removing from an engine what belongs to one home, by a process that must not depend on the agent.

Blocking, and with nothing but the standard library: the keeper runs it when its agent has gone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
import urllib.parse
from collections.abc import Collection
from typing import Any, Final

LABEL: Final = "hypernode.home"
"""Of containers, volumes and images; its value is the prefix of the home."""
KEY_LABEL: Final = "hypernode.key"
"""Of containers and volumes: the task's key."""
CALL_S: Final = 30.0
PASSES: Final = 20
GAP_S: Final = 0.3
ANSWER_BYTES: Final = 8 << 20


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=CALL_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(CALL_S)
        self.sock.connect(self._path)


def containers_and_volumes(engine: str, prefix: str, *, keep: Collection[str] = (), twice: bool = False) -> int:
    """Remove every container and volume that carries the label and the prefix of a home, but for those of tasks with
    the keys `keep`. How many there were.

    `twice`: go on until nothing is found after a moment's wait either. An engine finishes what a client asked for that
    has gone meanwhile. Raises OSError if the engine does not answer.
    """
    removed = 0
    for _ in range(PASSES):
        found = _pass(engine, prefix, keep)
        removed += found
        if not found and not twice:
            break
        twice = bool(found)
        time.sleep(GAP_S)
    return removed


def monitors(containers: list[str]) -> None:
    """Kill the engine's own processes beside these containers: some stay when a container could not start, or when
    the engine has gone."""
    for name in os.listdir("/proc"):
        if name.isdigit() and any(container in _shim(name) for container in containers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)


def _shim(process: str) -> list[str]:
    """The arguments of a process if it is one that an engine starts beside a container."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            arguments = os.fsdecode(file.read(64 << 10)).split("\0")
        executable = os.path.basename(os.readlink(f"/proc/{process}/exe"))
    except OSError:
        return []
    return arguments if executable.startswith(("containerd-shim", "conmon")) else []


def _pass(engine: str, prefix: str, keep: Collection[str]) -> int:
    wanted = urllib.parse.quote(json.dumps({"label": [f"{LABEL}={prefix}"]}))
    containers = _ask(engine, "GET", f"/containers/json?all=1&filters={wanted}") or []
    found = 0
    for container in containers:
        # An image can carry any label, and its containers then do; their names are given by whoever made them.
        names = [str(name).lstrip("/") for name in container.get("Names") or ()]
        if any(name.startswith(prefix) for name in names) and _key(container) not in keep:
            found += 1
            # Podman, told to remove what runs, would first ask it to end and wait.
            _ask(engine, "POST", f"/containers/{container['Id']}/kill?signal=SIGKILL")
            _ask(engine, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
    volumes = (_ask(engine, "GET", f"/volumes?filters={wanted}") or {}).get("Volumes") or []
    for volume in volumes:
        if _key(volume) not in keep:
            found += 1
            _ask(engine, "DELETE", f"/volumes/{urllib.parse.quote(volume['Name'], safe='')}?force=1")
    return found


def _key(listed: dict[str, Any]) -> str:
    return str((listed.get("Labels") or {}).get(KEY_LABEL, ""))


def _ask(engine: str, method: str, path: str) -> Any:
    """One call. None for an answer that is no success: what cannot be removed is found again in the next pass."""
    connection = _Connection(engine)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        data = answer.read(ANSWER_BYTES)
        return json.loads(data) if answer.status < 300 and data else None
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{method} {path}: {error}") from error
    finally:
        connection.close()
