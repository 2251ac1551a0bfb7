"""`hypernode burn`, `burns`, `supply`: what leaves the supply for ever, and where the rest is."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from hypernode.cli.jobs import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (burn, burns, supply):
        app.command(command.__name__)(command)


def burn(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="With its unit, as in '100 HYPER'.")],
    reference: Annotated[str, typer.Option(help="Why; at most 32 bytes, for everyone to see.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Burn the project's own HYPER, for ever."""
    from hypernode.cli.common import connect, money, write_json
    from hypernode.cli.words import amount_of

    micro = amount_of(amount)
    if not yes:
        typer.confirm(f"Burn {money(micro)} for ever?", abort=True, err=True)
    with connect() as client:
        made = client.governance.burn(micro, reference)
    if json:
        write_json(made)
    else:
        print(f"burned {money(made.amount)}; {money(made.cumulative)} in all")


def burns(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50, json: Json = False
) -> None:
    """List every burn, newest first, with how much had been burned by then."""
    from hypernode.cli.common import connect, money, table, when, write_json

    with connect() as client:
        found = list(islice(client.governance.burns(), limit))
    if json:
        write_json(found)
        return
    rows = [
        (one.index, when(one.at), one.cycle, money(one.amount), money(one.cumulative), one.reference) for one in found
    ]
    titles = ("INDEX", "AT (UTC)", "CYCLE", "AMOUNT", "CUMULATIVE", "REFERENCE")
    table(titles, rows, right=("INDEX", "CYCLE", "AMOUNT", "CUMULATIVE"))


def supply(json: Json = False) -> None:
    """Show how much HYPER there is, where it is, and what is unlocked when."""
    from hypernode.cli.common import connect, fields, money, when, write_json

    with connect() as client:
        found = client.governance.supply()
    if json:
        write_json(found)
        return
    fields(
        [
            ("supply", money(found.supply)),
            ("issued", money(found.issued)),
            ("burned", money(found.burned)),
            *((name, money(balance)) for name, balance in found.balances.items()),
            ("next unlock", when(found.next_unlock_at)),
        ]
    )
