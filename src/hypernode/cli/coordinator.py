"""`hypernode coordinator`: run a coordinator for others to connect to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA_VARIABLE = "HYPERNODE_DATA"


def register(app: typer.Typer) -> None:
    """Add `coordinator`."""
    app.command("coordinator")(coordinator)


def coordinator(
    data: Annotated[
        Path, typer.Option(envvar=DATA_VARIABLE, help="Its data folder: artifacts, logs, keys, embedded database.")
    ] = Path("~/.hypernode/coordinator"),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8443,
    address: Annotated[
        list[str] | None,
        typer.Option(help="URL under which nodes reach it; repeatable. Default: the one it listens on."),
    ] = None,
    dsn: Annotated[
        str | None, typer.Option(envvar="HYPERNODE_DSN", help="A PostgreSQL to use instead of the embedded one.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Your TLS certificate (PEM). Without one it makes a self-signed one.")
    ] = None,
    private_key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    registry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A private image registry that may be asked what tags stand for; http://HOST:PORT for one without "
            "encryption. Repeatable. Default: only public ones.",
        ),
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option(help="Speak plain HTTP: TLS ends at a proxy in front of it. Give its URL as --address.")
    ] = False,
) -> None:
    """Run a coordinator in the foreground until it is stopped (Ctrl-C or SIGTERM).

    Nodes join it with a token from `hypernode join-token`; projects, keys and money come from `hypernode admin`.
    """
    from hypernode.coordinator import process
    from hypernode.coordinator.settings import Settings
    from hypernode.kernel.errors import InvalidInput

    if behind_proxy and not address:
        raise InvalidInput("with --behind-proxy say under which URL the proxy serves: --address https://…")
    if host not in ("127.0.0.1", "::1", "localhost") and not address:
        raise InvalidInput(f"listening on {host}, say under which URL nodes and clients reach it: --address https://…")
    for path in (certificate, private_key):
        if path is not None and not path.is_file():
            raise InvalidInput(f"there is no file {path}")
    settings = Settings(
        data=data.expanduser().absolute(),
        dsn=dsn,
        host=host,
        port=port,
        plain=behind_proxy,
        certificate=certificate,
        private_key=private_key,
        addresses=tuple(address or ()),
        registries=tuple(registry or ()),
    )

    def tell(ready: process.Ready) -> None:
        if ready.code:
            return  # it was logged
        typer.echo(f"coordinator {ready.coordinator_key} serves at {ready.url}", err=True)
        if ready.fingerprint:
            typer.echo(f"its certificate is sha256:{ready.fingerprint}", err=True)
        where = f"--data {settings.data}" if settings.dsn is None else "--dsn DSN"
        typer.echo(f"make a project and a key with: hypernode admin {where} project NAME", err=True)

    raise typer.Exit(process.run(settings, tell))
