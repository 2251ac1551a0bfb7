"""What the words of a command line mean: pairs, hosts, sizes, and the name a job gets from its command."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import typer


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` texts as a dictionary."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found[name] = value
    return found


def amount_of(text: str) -> int:
    """An amount with its unit, in µHYPER."""
    from hypernode.kernel import money

    try:
        return money.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="AMOUNT") from error


def network(hosts: list[str] | None, limit: str | None) -> dict[str, Any] | None:
    """The `network` of a job document, in plain form, or None where nothing is allowed. Says so on stderr where a host
    can be known to be out of reach. Raises InvalidInput."""
    import msgspec

    from hypernode.cli.common import say
    from hypernode.client.build import parse_destination
    from hypernode.kernel.addresses import is_public

    if not hosts:
        if limit is not None:
            raise typer.BadParameter(
                "there is no way out to limit; name hosts with --allow-host", param_hint="--egress-limit"
            )
        return None
    egress = list(dict.fromkeys(parse_destination(text) for text in hosts))
    for one in egress:
        if (":" in one.host or one.host[-1].isdigit()) and not is_public(one.host):
            say(f"· {one.host} is not an address in the public internet: nodes let no job reach it")
    found: dict[str, Any] = {"egress": msgspec.to_builtins(egress)}
    return found if limit is None else {**found, "egress_bytes": limit}


def program(text: str | None) -> list[str] | None:
    """The words of an entry point, split as a shell does."""
    import shlex

    if text is None:
        return None
    try:
        return shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--entrypoint") from error


def default_name(command: list[str], image: str | None = None) -> str | None:
    """A name from the script, module or image, or None for the document's own default."""
    if image is not None:
        return _name(re.split("[:@]", image.rpartition("/")[2])[0])
    wasm = bool(command) and command[0].endswith(".wasm")
    words = [word for word in (command if wasm else command[1:]) if word != "-u"]
    if not words or words[0] == "-c":
        return None
    return _name(PurePath(words[1] if words[0] == "-m" and len(words) > 1 else words[0]).stem)


def _name(text: str) -> str | None:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].lstrip("._-") or None
