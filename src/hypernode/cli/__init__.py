"""The `hypernode` command. Everything heavy is imported by the command that needs it, so that help comes at once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Annotated, Final

import typer

# Each has `register(app)`. The order is that of `hypernode --help`.
MODULES: Final = (
    "hypernode.cli.run",
    "hypernode.cli.jobs",
    "hypernode.cli.results",
    "hypernode.cli.money",
    "hypernode.cli.receipts",
    "hypernode.cli.stake",
    "hypernode.cli.gov",
    "hypernode.cli.burn",
    "hypernode.cli.network",
    "hypernode.cli.secrets",
    "hypernode.cli.contexts",
    "hypernode.cli.up",
    "hypernode.cli.node",
    "hypernode.cli.doctor",
    "hypernode.cli.coordinator",
    "hypernode.cli.admin",
    "hypernode.cli.chain",
)


def build() -> typer.Typer:
    """The whole command line."""
    # Plain help: formatting it with Rich would take three times as long as everything else together.
    app = typer.Typer(
        name="hypernode",
        help="Submit jobs to an open compute network, run a node of it, or start a network of your own.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in MODULES:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).register(app)
    return app


def _version(asked: bool) -> None:
    if asked:
        from hypernode import __version__

        typer.echo(f"hypernode {__version__}")
        raise typer.Exit


def _options(
    context: Annotated[
        str | None, typer.Option("--context", help="Use this context instead of the current one (see `contexts`).")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    from hypernode.cli import common

    common.chosen_context = context


def main() -> None:
    """Run the command line. Errors that can be expected end with one message and a documented exit code."""
    try:
        build()()
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more, also not when Python flushes at its end.
        sys.stderr.close()
        raise SystemExit(141) from None
    except Exception as error:
        from hypernode.kernel.errors import HypernodeError

        if not isinstance(error, HypernodeError):
            raise
        from hypernode.cli.failures import report

        raise SystemExit(report(error)) from None
