"""`hypernode chain:local`: a Solana chain on this machine, for development, with Hypernode's programs if wanted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hypernode.chain.local.settings import Program
    from hypernode.chain.programs.local import LocalNetwork


def register(app: typer.Typer) -> None:
    """Add the chain commands."""
    app.command("chain:local")(local)


def local(
    port: Annotated[
        int,
        typer.Option(min=0, max=65534, help="Port for HTTP; WebSockets are on the next one too. 0 takes free ones."),
    ] = 8899,
    ledger: Annotated[
        Path | None, typer.Option(help="Folder to keep the chain in, and to go on from. [default: it lives in memory]")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Throw away the chain in --ledger, begin a new one.")] = False,
    program: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS=FILE.so", help="A program that is there from the start. Repeatable."),
    ] = None,
    authority: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Who may upgrade these programs. [default: nobody]")
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Put Hypernode's programs there, set up and ready; FILE keeps their addresses and everybody's keys.",
        ),
    ] = None,
    slot_ms: Annotated[
        int,
        typer.Option(min=0, max=60_000, help="Milliseconds a slot; 0: one slot a transaction, and at once final."),
    ] = 400,
    finality_slots: Annotated[int, typer.Option(min=1, max=150, help="Slots until a block is finalized.")] = 32,
    all_features: Annotated[
        bool, typer.Option("--all-features", help="Every feature of the runtime, not only those active on mainnet.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public: Annotated[
        bool, typer.Option("--public", help="Let --host be other than loopback: whoever reaches it may do anything.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Say where it answers in one line of JSON on stdout.")] = False,
) -> None:
    """Run a Solana chain on this machine until Ctrl-C: the real runtime behind a validator's JSON-RPC interface.

    Solana's clients and Anchor use it unchanged; airdrops are free. Its packages are installed on first use.
    """
    from hypernode.chain.local.process import LocalChain
    from hypernode.chain.local.settings import LOOPBACK, Settings
    from hypernode.cli.common import say, write_json_line
    from hypernode.kernel.errors import InvalidInput, Unavailable

    if host not in LOOPBACK and not public:
        raise InvalidInput(f"on {host} anybody who reaches it could use this chain; if that is meant, say --public")
    place = None if ledger is None else ledger.expanduser().absolute()
    if reset and place is None:
        raise InvalidInput("--reset throws away a chain that is kept: say which with --ledger")
    placed = tuple(_program(text, authority) for text in program or ())
    deployment = None if network is None else _deployment(network.expanduser())
    if deployment is not None:
        placed += deployment.placed()
    if reset and place is not None:
        _throw_away(place)
    settings = Settings(
        host=host,
        port=port,
        slot_ms=slot_ms,
        finality_slots=finality_slots,
        ledger=place,
        programs=placed,
        all_features=all_features,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say("starting a local chain …")
    try:
        with LocalChain(settings) as chain:
            if deployment is not None:
                say(f"setting up Hypernode's programs; their addresses and keys are in {network} …")
                _set_up(deployment, chain.url)
            if json:
                write_json_line({"url": chain.url, "websocket_url": chain.websocket_url, "genesis": chain.genesis})
            say(f"ready at {chain.url}, WebSockets at {chain.websocket_url}; Ctrl-C stops it")
            code = chain.wait()
            raise Unavailable(f"the local chain has ended by itself with exit code {code}; its messages say why")
    except KeyboardInterrupt:
        say("stopped")


def _program(text: str, authority: str | None) -> Program:
    from hypernode.chain.local.settings import Program
    from hypernode.kernel.errors import InvalidInput
    from hypernode.kernel.keys import public_bytes

    address, found, path = text.partition("=")
    if not found or not path:
        raise InvalidInput(f"{text!r}: a program is given as ADDRESS=FILE.so")
    public_bytes(address)
    if authority is not None:
        public_bytes(authority)
    return Program(address, Path(path).expanduser().absolute(), authority)


def _deployment(file: Path) -> LocalNetwork:
    from hypernode.chain.programs.local import LocalNetwork

    return LocalNetwork.kept(file)


def _set_up(deployment: LocalNetwork, url: str) -> None:
    import asyncio

    from hypernode.chain.programs.local import set_up

    asyncio.run(set_up(deployment, url))


def _throw_away(folder: Path) -> None:
    """Remove a chain's files, and nothing else that may be in the folder. Raises InvalidInput if it is in use."""
    import sqlite3

    from hypernode.chain.local.settings import LEDGER_FILE
    from hypernode.kernel.errors import InvalidInput

    path = folder / LEDGER_FILE
    if not path.exists():
        return
    try:
        base = sqlite3.connect(path, timeout=0.5)
        base.execute("begin exclusive")
        base.close()
    except sqlite3.OperationalError as error:
        raise InvalidInput(f"the chain in {folder} is in use; stop it first") from error
    except sqlite3.DatabaseError:
        pass  # damaged, which is a reason to throw it away
    for name in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm"):
        (folder / name).unlink(missing_ok=True)
