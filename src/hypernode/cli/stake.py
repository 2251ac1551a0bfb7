"""`hypernode stake …`: money locked for a while, the weight that gives, and what it earns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hypernode.cli.jobs import Json

if TYPE_CHECKING:
    from hypernode.governance.views.stakes import StakeView

StakeId = Annotated[str, typer.Argument(metavar="STAKE", help="The stake's id.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="With its unit, as in '100 HYPER'.")]


def register(app: typer.Typer) -> None:
    """Add `stake` and its commands."""
    commands = typer.Typer(no_args_is_help=True, help="Lock HYPER for a while: it weighs in votes and earns rewards.")
    for name, command in (
        ("open", open_stake),
        ("list", listing),
        ("add", add),
        ("unstake", unstake),
        ("withdraw", withdraw),
        ("claim", claim),
        ("network", network),
    ):
        commands.command(name)(command)
    app.add_typer(commands, name="stake")


def open_stake(
    amount: Amount,
    days: Annotated[int, typer.Option(min=14, max=365, help="For how long; the longer, the more it weighs.")],
    json: Json = False,
) -> None:
    """Open a stake. Prints its id."""
    from hypernode.cli.common import connect, money, say, write_json
    from hypernode.cli.words import amount_of

    with connect() as client:
        made = client.governance.open_stake(amount_of(amount), days)
    if json:
        write_json(made)
        return
    print(made.id)
    say(f"{money(made.amount)} locked; {money(made.weight)} of weight ({made.tier})")


def listing(json: Json = False) -> None:
    """List the project's stakes."""
    from hypernode.cli.common import connect, money, table, when, write_json

    with connect() as client:
        found = list(client.governance.stakes())
    if json:
        write_json(found)
        return
    rows = [
        (
            one.id,
            f"{one.state}, frozen" if one.reports else one.state,
            money(one.amount),
            one.days,
            money(one.weight),
            one.tier,
            money(one.claimable),
            when(one.free_at),
        )
        for one in found
    ]
    titles = ("STAKE", "STATE", "AMOUNT", "DAYS", "WEIGHT", "TIER", "CLAIMABLE", "FREE AT (UTC)")
    table(titles, rows, right=("AMOUNT", "DAYS", "WEIGHT", "CLAIMABLE"))


def add(stake: StakeId, amount: Amount, json: Json = False) -> None:
    """Add to a stake, at the same lock."""
    from hypernode.cli.common import connect
    from hypernode.cli.words import amount_of

    with connect() as client:
        _show(client.governance.add_to_stake(stake, amount_of(amount)), json)


def unstake(stake: StakeId, json: Json = False) -> None:
    """End a stake. It weighs nothing from now on, and is free after a cooldown as long as its lock."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.unstake(stake), json)


def withdraw(stake: StakeId, json: Json = False) -> None:
    """Take an ended stake back, once it is free."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.withdraw(stake), json)


def claim(
    stake: Annotated[str | None, typer.Argument(metavar="[STAKE]", help="One stake; all, if none is named.")] = None,
    json: Json = False,
) -> None:
    """Have the rewards of a stake paid, or of all that have any."""
    from hypernode.cli.common import connect, money, write_json

    with connect() as client:
        if stake is not None:
            claimed = [client.governance.claim(stake)]
        else:
            claimed = [client.governance.claim(one.id) for one in client.governance.stakes() if one.claimable > 0]
    if json:
        write_json(claimed)
        return
    for one in claimed:
        print(f"{one.id}  {money(one.claimed)} claimed in all")
    if not claimed:
        print("nothing to claim")


def network(json: Json = False) -> None:
    """Show all stakes together, and what stakers were given."""
    from hypernode.cli.common import connect, fields, money, write_json

    with connect() as client:
        found = client.governance.staking()
    if json:
        write_json(found)
    else:
        names = ("staked", "weight", "waiting", "held", "distributed", "paid")
        fields([(name, money(getattr(found, name))) for name in names])


def _show(stake: StakeView, json: bool) -> None:
    from hypernode.cli.common import fields, money, when, write_json

    if json:
        write_json(stake)
        return
    fields(
        [
            ("stake", stake.id),
            ("state", stake.state),
            ("amount", money(stake.amount)),
            ("weight", money(stake.weight)),
            ("claimable", money(stake.claimable)),
            ("free at", when(stake.free_at)),
        ]
    )
