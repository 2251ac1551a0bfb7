"""`hypernode admin …`: what only the operator of a coordinator may do, straight on its database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hypernode.cli.coordinator import DATA_VARIABLE
from hypernode.cli.jobs import Json

if TYPE_CHECKING:
    from hypernode.coordinator.admin import Admin

T = TypeVar("T")

_where: tuple[Path, str | None] = (Path(), None)
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]


def register(app: typer.Typer) -> None:
    """Add `admin` and its commands."""
    commands = typer.Typer(no_args_is_help=True, help="Manage a coordinator's projects, API keys and money, locally.")
    commands.callback()(_options)
    for name, command in (
        ("project", project),
        ("projects", projects),
        ("key", key),
        ("keys", keys),
        ("revoke-key", revoke_key),
        ("deposit", deposit),
        ("ledger", ledger),
        ("vesting", vesting),
        ("unlock", unlock),
        ("operations", operations),
    ):
        commands.command(name)(command)
    app.add_typer(commands, name="admin")


def _options(
    data: Annotated[Path, typer.Option(envvar=DATA_VARIABLE, help="The coordinator's data folder.")] = Path(
        "~/.hypernode/coordinator"
    ),
    dsn: Annotated[
        str | None, typer.Option(envvar="HYPERNODE_DSN", help="Its PostgreSQL, if that is not embedded.")
    ] = None,
) -> None:
    global _where
    _where = (data.expanduser().absolute(), dsn)


def _do(work: Callable[[Admin], Awaitable[T]]) -> T:
    from hypernode.coordinator.admin import administer
    from hypernode.kernel.errors import InvalidInput

    data, dsn = _where
    if dsn is None and not data.is_dir():
        raise InvalidInput(f"there is no coordinator in {data}; name its folder: hypernode admin --data FOLDER …")

    async def run() -> T:
        async with administer(data, dsn) as admin:
            return await work(admin)

    return asyncio.run(run())


def project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and dashes.")],
    json: Json = False,
) -> None:
    """Make a project, with an API key for it that is shown this once."""
    from hypernode.cli.common import say, write_json

    async def work(admin: Admin) -> tuple[str, str]:
        project_id = await admin.create_project(name)
        return str(project_id), await admin.create_key(name, "first")

    project_id, secret = _do(work)
    if json:
        write_json({"project_id": project_id, "project": name, "key": secret})
        return
    print(secret)
    say(f"project {name} made; this is its API key, shown this once. Use it as HYPERNODE_API_KEY.")


def projects(json: Json = False) -> None:
    """List projects with their balances."""
    from hypernode.cli.common import money, table, when, write_json

    rows = _do(lambda admin: admin.projects())
    if json:
        write_json(rows)
        return
    table(
        ("NAME", "ID", "AVAILABLE", "ESCROW", "CREATED (UTC)"),
        [(row.name, row.id, money(row.available), money(row.escrow), when(row.created_at)) for row in rows],
        right=("AVAILABLE", "ESCROW"),
    )


def key(
    project: Project,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    json: Json = False,
) -> None:
    """Make another API key for a project, shown this once."""
    from hypernode.cli.common import write_json

    secret = _do(lambda admin: admin.create_key(project, name))
    if json:
        write_json({"project": project, "name": name, "key": secret})
    else:
        print(secret)


def keys(json: Json = False) -> None:
    """List API keys, without their secrets."""
    from hypernode.cli.common import table, when, write_json

    rows = _do(lambda admin: admin.keys())
    if json:
        write_json(rows)
        return
    table(
        ("HANDLE", "PROJECT", "NAME", "CREATED (UTC)", "REVOKED (UTC)"),
        [(row.handle, row.project, row.name, when(row.created_at), when(row.revoked_at)) for row in rows],
    )


def revoke_key(handle: Annotated[str, typer.Argument(metavar="HANDLE", help="As `admin keys` lists it.")]) -> None:
    """End an API key. Within two seconds it is worth nothing."""
    from hypernode.cli.common import clean

    _do(lambda admin: admin.revoke_key(handle))
    print(clean(f"key {handle} is revoked"))


def deposit(
    project: Project,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="With its unit, as in '100 HYPER'.")],
) -> None:
    """Give a project money, in a local network."""
    from hypernode.cli.common import clean
    from hypernode.cli.words import amount_of
    from hypernode.kernel import money

    micro = amount_of(amount)
    _do(lambda admin: admin.deposit(project, micro))
    print(clean(f"{money.show(micro)} deposited to {project}"))


def ledger(json: Json = False) -> None:
    """Show the whole ledger in sums, and whether it adds up; exits with 1 if it does not."""
    from hypernode.cli.common import fields, money, write_json

    summary = _do(lambda admin: admin.ledger())
    if json:
        write_json(summary)
    else:
        fields([(kind, money(amount)) for kind, amount in sorted(summary.balances.items())])
        fields([("sum", money(summary.total)), ("transfers", summary.transfers), ("settlements", summary.settlements)])
        print("adds up" if summary.consistent and not summary.total else "DOES NOT ADD UP")
    if summary.total or not summary.consistent:
        raise typer.Exit(1)


def vesting(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Issue and lock 84,603,487 HYPER, which come free in twelve cycles of 30 days: part burned, part for stakers, the
    rest for operations. Once; the first cycle is due at once."""
    from hypernode.governance.unlocks import LOCKED
    from hypernode.kernel import money

    if not yes:
        typer.confirm(f"Issue {money.show(LOCKED)}, and begin to unlock them now?", abort=True, err=True)
    locked = _do(lambda admin: admin.begin_vesting())
    print(f"{money.show(locked)} locked")


def unlock(json: Json = False) -> None:
    """Unlock the next cycle, if it is due. A running coordinator does so by itself."""
    from hypernode.cli.common import fields, money, write_json

    made = _do(lambda admin: admin.unlock())
    if json:
        write_json(made)
        return
    parts = ("amount", "burned", "stakers", "operations")
    fields([("cycle", str(made.cycle)), *((name, money(getattr(made, name))) for name in parts)])


def operations(
    project: Project,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="With its unit, as in '100 HYPER'.")],
) -> None:
    """Pay a project out of what was unlocked for operations."""
    from hypernode.cli.common import clean
    from hypernode.cli.words import amount_of
    from hypernode.kernel import money

    micro = amount_of(amount)
    _do(lambda admin: admin.spend_operations(project, micro))
    print(clean(f"{money.show(micro)} paid to {project}"))
