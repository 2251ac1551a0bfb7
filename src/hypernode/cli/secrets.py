"""`hypernode secret:*`: what opens private image registries, kept for the jobs that need it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hypernode.cli.jobs import Json

Name = Annotated[str, typer.Argument(metavar="NAME", help="As jobs name it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("secret:set")(put)
    app.command("secret:list")(listing)
    app.command("secret:delete")(delete)


def put(
    name: Name,
    registry: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The registry it opens; docker.io for the Hub.")],
    username: Annotated[str, typer.Option(help="The user name there.")],
    json: Json = False,
) -> None:
    """Keep what opens a private image registry, in place of what NAME held before.

    The password is asked for, or read from stdin where that is no terminal. The operator of a node that pulls an image
    with it can read it: use a token that only allows pulling, and that ends soon.
    """
    from hypernode.cli.common import clean, connect, write_json

    password = _password(registry)
    with connect() as client:
        found = client.set_secret(name, registry=registry, username=username, password=password)
    if json:
        write_json(found)
    else:
        print(clean(f"secret {found.name} opens {found.registry}; jobs name it with --registry-secret {found.name}"))


def _password(registry: str) -> str:
    from hypernode.kernel import limits
    from hypernode.kernel.errors import InvalidInput

    if sys.stdin.isatty():
        text: str = typer.prompt(f"Password or token for {registry}", hide_input=True, err=True)
    else:
        try:
            text = sys.stdin.buffer.read(4 * limits.SECRET_CHARS + 2).decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise InvalidInput("stdin held no text in UTF-8, so no password") from None
    if not text:
        raise InvalidInput("stdin held no password; pipe it in, as in: hypernode secret:set … < FILE")
    return text


def listing(json: Json = False) -> None:
    """List the project's secrets. What they hold is never shown."""
    from hypernode.cli.common import connect, table, when, write_json

    with connect() as client:
        found = client.secrets()
    if json:
        write_json(found)
        return
    rows = [(one.name, one.kind, one.registry, when(one.created_at), when(one.updated_at)) for one in found]
    table(("NAME", "KIND", "REGISTRY", "CREATED (UTC)", "SET (UTC)"), rows)


def delete(name: Name, json: Json = False) -> None:
    """Forget a secret. Tasks that need it and have not started yet fail."""
    from hypernode.cli.common import clean, connect, write_json

    with connect() as client:
        client.delete_secret(name)
    if json:
        write_json({"name": name, "deleted": True})
    else:
        print(clean(f"secret {name} is deleted"))
