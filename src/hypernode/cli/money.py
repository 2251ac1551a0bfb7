"""`hypernode wallet`: what the project has, holds, spent and earned."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from hypernode.cli.jobs import Json


def register(app: typer.Typer) -> None:
    """Add `wallet`."""
    app.command("wallet")(wallet)


def wallet(
    statement: Annotated[bool, typer.Option("--statement", help="Show every movement, newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many movements.")] = 50,
    json: Json = False,
) -> None:
    """Show the project's balances, or with --statement its movements."""
    from hypernode.cli.common import connect, fields, money, table, when, write_json

    with connect() as client:
        if not statement:
            found = client.account()
            if json:
                write_json(found)
                return
            names = ("available", "escrow", "spent", "earned")
            fields([("project", found.project), *((name, money(getattr(found, name))) for name in names)])
            return
        lines = list(islice(client.statement(), limit))
    if json:
        write_json(lines)
        return
    rows = [
        (when(line.at), line.account, line.cause, money(line.amount), money(line.balance), line.job_id or "")
        for line in lines
    ]
    table(("AT (UTC)", "ACCOUNT", "CAUSE", "AMOUNT", "BALANCE", "JOB"), rows, right=("AMOUNT", "BALANCE"))
