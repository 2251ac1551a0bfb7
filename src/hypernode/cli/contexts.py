"""Which coordinator this client talks to: contexts, use."""

from __future__ import annotations

from typing import Annotated

import typer

from hypernode.cli.jobs import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("contexts")(contexts)
    app.command("use")(use)


def contexts(json: Json = False) -> None:
    """List the coordinators this client knows. Keys are never shown."""
    from hypernode.cli.common import say, table, write_json
    from hypernode.client.config import URL, config_path, load_config

    config = load_config()
    rows = [
        {"name": name, "current": name == config.current, "url": context.url, "certificate": context.certificate}
        for name, context in sorted(config.contexts.items())
    ]
    if json:
        write_json(rows)
        return
    table(
        ("CURRENT", "NAME", "URL", "CERTIFICATE"),
        [("*" if row["current"] else "", row["name"], row["url"], row["certificate"] or "") for row in rows],
    )
    if not rows:
        say(f"none in {config_path()}; 'hypernode up' makes one, or set {URL}")


def use(name: Annotated[str, typer.Argument(metavar="NAME", help="The context's name.")]) -> None:
    """Make a context the current one."""
    from hypernode.cli.common import clean
    from hypernode.client.config import use_context

    print(clean(f"using {name}: {use_context(name).url}"))
