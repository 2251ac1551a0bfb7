"""`hypernode up`: a network of one's own on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from hypernode.coordinator.local import LocalNetwork

CONTEXT: Final = "local"
ISOLATION: Final = 2
"""What a job document asks for unless it says otherwise."""
RESTARTS: Final = 5
RESTARTS_WITHIN_S: Final = 60.0


def register(app: typer.Typer) -> None:
    """Add `up`."""
    app.command("up")(up)


def up(
    folder: Annotated[
        Path | None, typer.Option(help="Where it lives (default: $HYPERNODE_HOME/local or ~/.hypernode/local).")
    ] = None,
    nodes: Annotated[int, typer.Option(min=0, max=16, help="Nodes to run on this machine.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 8470,
) -> None:
    """Start a local network: an embedded database, a coordinator and a node, until Ctrl-C.

    Its jobs, money and nodes are kept in its folder for the next time. It makes itself the current context, so that in
    another terminal `hypernode run -- python -c "print(6 * 7)"` just works.
    """
    from hypernode.cli.common import say
    from hypernode.client.config import Context, save_context
    from hypernode.coordinator.local import LocalNetwork

    place = folder or Path(os.environ.get("HYPERNODE_HOME", "~/.hypernode")).expanduser() / "local"
    say(f"starting a network in {place} …")
    changed = threading.Event()
    stopping = False

    def on_signal(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = stopping or number != signal.SIGCHLD
        changed.set()

    with LocalNetwork(place, nodes=nodes, port=port) as network:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, on_signal)
        saved = save_context(CONTEXT, Context(network.url, network.client_key))
        say(f"ready at {network.url} with {nodes} node{'s' if nodes != 1 else ''}; Ctrl-C stops it")
        proved = network.isolation()
        option = "" if proved is None or proved >= ISOLATION else f"--isolation {proved} "
        if option:
            say(f"its nodes prove isolation {proved} only, where jobs ask for {ISOLATION}; as root they prove more")
        say(f"this is now the current context, {CONTEXT!r} in {saved}. In another terminal:")
        say(f'  hypernode run {option}-- python -c "print(6 * 7)"')
        say(f"its ledger: hypernode admin --data {network.data} ledger")
        restarts: deque[float] = deque(maxlen=RESTARTS)
        while not stopping:
            _revive(network, restarts)
            changed.wait()
            changed.clear()
        say("stopping …")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # once is enough; it ends in order


def _revive(network: LocalNetwork, restarts: deque[float]) -> None:
    """Start again what has ended by itself. Raises Unavailable when that happens too often to be of use."""
    from hypernode.cli.common import say
    from hypernode.kernel.errors import Unavailable

    ended = [name for name, process in network.nodes.items() if process.poll() is not None]
    coordinator = network.coordinator is None or network.coordinator.poll() is not None
    if not ended and not coordinator:
        return
    now = time.monotonic()
    if len(restarts) == RESTARTS and now - restarts[0] < RESTARTS_WITHIN_S:
        raise Unavailable(f"something ends again and again; see the logs in {network.folder}")
    restarts.append(now)
    if coordinator:
        say("the coordinator has ended; starting it again")
        network.start_coordinator()
    for name in ended:
        say(f"{name} has ended; starting it again")
        network.start_node(name)
