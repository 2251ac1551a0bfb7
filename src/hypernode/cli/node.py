"""`hypernode node:*`: make this machine a node, run it, look at it, stop it."""

from __future__ import annotations

import os
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hypernode.cli import common
from hypernode.cli.node_options import HomeOption, JsonOption

if TYPE_CHECKING:
    from hypernode.agent.home import Config, Home, Policy
    from hypernode.agent.status import Status
    from hypernode.nodes.model import Ask, SandboxOffer

DRAIN_S: Final = 60.0
STOP_MARGIN_S: Final = 30.0
"""Beyond the drain bound: for ending what is left and the sandbox's own tidying up."""


def register(app: typer.Typer) -> None:
    """Add the node commands."""
    app.command("node:init")(init)
    app.command("node:start")(start)
    app.command("node:status")(status)
    app.command("node:logs")(logs)
    app.command("node:stop")(stop)


def init(
    token: Annotated[str, typer.Argument(help="A join token: `hypernode join-token` makes one for a project.")],
    home: HomeOption = None,
    name: Annotated[str | None, typer.Option(help="The node's name. [default: this machine's]")] = None,
    rate: Annotated[
        str | None, typer.Option(help="What it asks per second of a running task, as in '100 uHYPER'.")
    ] = None,
    fixed: Annotated[str | None, typer.Option(help="What it asks per paid attempt besides.")] = None,
    cpu_percent: Annotated[int, typer.Option(min=1, max=100, help="Share of the CPUs that jobs may use.")] = 100,
    memory_percent: Annotated[int, typer.Option(min=1, max=100, help="Share of the memory.")] = 80,
    disk_percent: Annotated[int, typer.Option(min=1, max=100, help="Share of the free disk.")] = 50,
    slots: Annotated[int | None, typer.Option(min=1, max=1024, help="Tasks at once. [default: cores]")] = None,
    sandboxes: Annotated[
        list[str] | None,
        typer.Option(
            "--sandbox",
            metavar="NAME",
            help="A sandbox jobs may run in, as node:doctor names them. Repeatable. [default: all there are]",
        ),
    ] = None,
    registries: Annotated[
        list[str] | None,
        typer.Option(
            "--registry",
            metavar="HOST[:PORT]",
            help="A private image registry that may be used; http://HOST:PORT for one without encryption. Repeatable.",
        ),
    ] = None,
    egress: Annotated[bool, typer.Option(help="Let jobs that ask for it reach the hosts they name.")] = True,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Repeatable.")] = None,
    insecure_http: Annotated[
        bool, typer.Option(help="Allow plain http beyond this machine, where a proxy of yours encrypts it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this machine a node of the coordinator that gave you a join token."""
    import asyncio

    from hypernode.agent import hardware
    from hypernode.agent.enrol import enrol
    from hypernode.agent.home import Policy
    from hypernode.kernel.decode import from_plain

    place = _home(home)
    shares = {"cpu_percent": cpu_percent, "memory_percent": memory_percent, "disk_percent": disk_percent}
    chosen = {"sandboxes": sandboxes} if sandboxes else {}
    policy = from_plain({**shares, "slots": slots, **chosen, "registries": registries or [], "egress": egress}, Policy)
    config = asyncio.run(
        enrol(
            place,
            token,
            name=_name(name),
            ask=_ask(rate, fixed),
            policy=policy,
            labels=_labels(labels or []),
            insecure_http=insecure_http,
        )
    )
    machine = hardware.detect(place.path)
    if as_json:
        common.write_json({"node": place.key().public, "home": str(place.path), "config": config, "hardware": machine})
        return
    _show_node(place, config)
    common.fields(
        [
            ("machine", f"{machine.cpu_count} × {machine.cpu_model}, {machine.distribution or machine.system}"),
            ("lends", _lends(policy, machine.cpu_count, machine.memory_bytes, machine.disk_free_bytes)),
        ]
    )
    common.say("Start it with `hypernode node:start`.")


def start(
    home: HomeOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background once connected.")] = False,
    drain: Annotated[float, typer.Option(min=0, help="Seconds to finish what runs when stopped.")] = DRAIN_S,
) -> None:
    """Run this node until it is stopped. Ctrl-C lets it finish what runs; a second Ctrl-C hands it back."""
    from hypernode.agent import process
    from hypernode.agent.home import HomeInUse

    place = _home(home)
    place.require()
    if not detach:
        raise SystemExit(process.run(place, to_terminal=True, drain_s=drain))
    if place.in_use():
        raise HomeInUse(f"an agent runs in {place.path} already; see `hypernode node:status`")
    ready = process.start_detached(place, drain_s=drain)
    if not ready.code:
        common.say(f"Running as process {ready.pid}, connected to {ready.connected_to}.")
        return
    common.say(f"error: {ready.detail} [{ready.code}]")
    if ready.code == process.NOT_CONNECTED:
        common.say("It goes on trying in the background: `hypernode node:status`, `hypernode node:logs`.")
    raise SystemExit(1)


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What this node is, what it runs, what it earned, and whether it is well."""
    from hypernode.agent import control

    place = _home(home)
    place.require()
    found = control.status(place)
    if as_json:
        common.write_json(found)
        return
    _show_status(place, found)


def logs(
    home: HomeOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="How many of the last lines.")
    ] = 100,
) -> None:
    """The agent's own log. What jobs print is not in it."""
    place = _home(home)
    place.require()
    if follow:
        # tail waits for the kernel's word and follows the file through its rotation; nothing here would do it better.
        sys.stdout.flush()
        os.execvp("tail", ["tail", "-n", str(lines), "-F", str(place.log_file)])
    if place.log_file.exists():
        with place.log_file.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=lines):
                print(common.clean(line.rstrip("\n")))


def stop(
    home: HomeOption = None,
    now: Annotated[bool, typer.Option("--now", help="Hand back what runs instead of finishing it.")] = False,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for its end. [default: a little over its drain bound]")
    ] = None,
) -> None:
    """Stop this node: take nothing new, finish what runs within its bound, then leave."""
    from hypernode.agent import control

    place = _home(home)
    place.require()
    control.stop(place, now=now, wait_s=wait if wait is not None else (0 if now else DRAIN_S) + STOP_MARGIN_S)
    common.say("Stopped.")


def _home(path: Path | None) -> Home:
    from hypernode.agent.home import Home

    return Home(path)


def _name(name: str | None) -> str | None:
    from hypernode.kernel.decode import from_plain
    from hypernode.nodes.model import NodeName

    if name is not None:
        from_plain(name, NodeName)
    return name


def _ask(rate: str | None, fixed: str | None) -> Ask:
    from hypernode.kernel import money
    from hypernode.kernel.errors import InvalidInput
    from hypernode.nodes.model import DEFAULT_ASK, Ask

    try:
        return Ask(
            rate_per_second=money.parse(rate) if rate else DEFAULT_ASK.rate_per_second,
            fixed=money.parse(fixed) if fixed else DEFAULT_ASK.fixed,
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _labels(pairs: list[str]) -> dict[str, str]:
    from hypernode.kernel.errors import InvalidInput

    labels = {}
    for pair in pairs:
        label, sign, value = pair.partition("=")
        if not sign or not label or len(label) > 256 or len(value) > 256:
            raise InvalidInput(f"{pair!r} is not a label such as region=eu")
        labels[label] = value
    return labels


def _lends(policy: Policy, cores: int, memory_bytes: int, disk_bytes: int) -> str:
    from hypernode.kernel.units import show_bytes

    return (
        f"{cores * policy.cpu_percent / 100:g} cores, "
        f"{show_bytes(memory_bytes * policy.memory_percent // 100)} of memory, "
        f"{show_bytes(disk_bytes * policy.disk_percent // 100)} of disk, {policy.slots or cores} tasks at once"
    )


def _show_node(place: Home, config: Config) -> None:
    common.fields(
        [
            ("node", place.key().public),
            ("name", config.name),
            ("home", place.path),
            ("project", config.project),
            ("coordinators", ", ".join(config.addresses)),
            ("trust", "pinned certificate" if config.pinned else "system's authorities or loopback"),
            ("asks", _price(config.ask)),
        ]
    )


def _show_status(place: Home, found: Status) -> None:
    from hypernode.kernel.units import show_bytes

    offered = found.capabilities
    sandboxes = offered.sandboxes if offered else ()
    common.fields(
        [
            ("node", found.key),
            ("name", found.name),
            ("state", found.state.value + (f" (process {found.pid})" if found.pid else "")),
            ("connected to", found.connected_to),
            ("not connected", found.last_error),
            ("home", place.path),
            ("project", found.project),
            ("asks", _price(found.ask) if found.ask else None),
            ("offers", offered and (
                f"{offered.cpu_milli / 1000:g} cores, {show_bytes(offered.memory_bytes)} of memory, "
                f"{show_bytes(offered.disk_bytes)} of disk, {offered.slots} tasks at once"
            )),
            *(("sandbox", _sandbox(sandbox)) for sandbox in sandboxes),
            ("results", f"{found.totals.done} accepted, {found.totals.failed} without result, {found.unsent} unsent"),
            ("earned", common.money(found.totals.earned)),
        ]
    )  # fmt: skip
    for sandbox in sandboxes:
        for failure in sandbox.failed:
            where = common.clean(sandbox.name)
            print(f"not proved in {where}: {common.clean(failure.limit)}; {common.clean(failure.remedy)}")
    if found.leases:
        common.table(
            ("JOB", "TASK", "ATTEMPT", "NAME", "STATE", "SECONDS"),
            [
                (view.job_id, view.task, view.attempt, view.name, view.phase, f"{view.seconds:.0f}")
                for view in found.leases
            ],
            right=("TASK", "ATTEMPT", "SECONDS"),
        )


def _sandbox(offer: SandboxOffer) -> str:
    runs = ", ".join(offer.runtimes) + (", and lets jobs out to hosts they name" if offer.egress else "")
    return f"{offer.name}, isolation level {offer.isolation}: {runs}"


def _price(ask: Ask) -> str:
    fixed = f" and {common.money(ask.fixed)} per attempt" if ask.fixed else ""
    return f"{common.money(ask.rate_per_second)} per second{fixed}"
