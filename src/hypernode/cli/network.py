"""Commands about the network: nodes, join-token, revoke, network, whoami."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hypernode.cli.jobs import Json

if TYPE_CHECKING:
    from hypernode.nodes.model import Capabilities


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("nodes", nodes),
        ("join-token", join_token),
        ("revoke", revoke),
        ("network", network),
        ("whoami", whoami),
    ):
        app.command(name)(command)


def nodes(
    own: Annotated[bool, typer.Option("--own", help="Only those that earn for this project.")] = False,
    json: Json = False,
) -> None:
    """List the network's nodes."""
    from hypernode.cli.common import connect, money, table, when, write_json
    from hypernode.kernel.units import show_bytes

    with connect() as client:
        found = list(client.nodes(own=own))
    if json:
        write_json(found)
        return
    rows = []
    for node in found:
        has, ask = node.capabilities, node.ask
        rows.append(
            (
                node.name,
                node.node,
                node.state,
                f"{has.cpu_milli / 1000:g}" if has else "",
                show_bytes(has.memory_bytes) if has else "",
                sandboxes(has) if has else "",
                node.running,
                f"{money(ask.rate_per_second * 3600)}" if ask else "",
                money(node.earned),
                when(node.last_seen_at),
            )
        )
    titles = ("NAME", "KEY", "STATE", "CORES", "MEMORY", "SANDBOXES", "RUNNING", "PER HOUR", "EARNED", "SEEN (UTC)")
    table(titles, rows, right=("CORES", "MEMORY", "RUNNING", "PER HOUR", "EARNED"))


def sandboxes(has: Capabilities) -> str:
    """A node's sandboxes, the one it prefers first, each with its isolation level and what may run in it."""
    shown = []
    for one in has.sandboxes:
        what = [*one.runtimes, *(["egress"] if one.egress else [])]
        shown.append(f"{one.name} {one.isolation} ({', '.join(what)})")
    return "; ".join(shown) or "none"


def join_token(
    valid: Annotated[str, typer.Option(help="How long it may be used, as in 1h.")] = "24h",
    json: Json = False,
) -> None:
    """Make a one-time token that lets one node join for this project."""
    from hypernode.cli.common import connect, say, when, write_json
    from hypernode.kernel.units import parse_seconds

    try:
        valid_s = parse_seconds(valid)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--valid") from error
    with connect() as client:
        made = client.join_token(valid_s=valid_s)
    if json:
        write_json(made)
        return
    print(made.token)
    say(f"valid once, until {when(made.expires_at)} UTC; on the node's machine: hypernode node:init TOKEN")


def revoke(
    node: Annotated[str, typer.Argument(metavar="KEY", help="The node's public key.")], json: Json = False
) -> None:
    """Take all rights from a node of this project, for good."""
    from hypernode.cli.common import clean, connect, write_json

    with connect() as client:
        found = client.revoke(node)
    if json:
        write_json(found)
    else:
        print(clean(f"node {found.name} ({found.node}) is {found.state}"))


def network(json: Json = False) -> None:
    """Show the coordinator's version and the public keys that sign receipts."""
    from hypernode.cli.common import connect, fields, write_json

    with connect() as client:
        found = client.network()
        if json:
            write_json(found)
            return
        keys = [("receipts are signed by", key) for key in found.coordinators]
        fields([("address", client.url), ("version", found.version), ("its key", found.coordinator_key), *keys])


def whoami(json: Json = False) -> None:
    """Show which project this client acts for."""
    from hypernode.cli.common import connect, fields, write_json

    with connect() as client:
        found = client.whoami()
        if json:
            write_json(found)
            return
        fields(
            [("address", client.url), ("project", found.project), ("project id", found.project_id), ("key", found.key)]
        )
