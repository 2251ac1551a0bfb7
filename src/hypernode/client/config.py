"""Where the client connects to, from what it is told, the environment, or the configuration file.

The file holds contexts by name, and which of them is current. It is readable by its owner only, since it holds keys.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hypernode.client.errors import ConfigInvalid

URL: Final = "HYPERNODE_URL"
API_KEY: Final = "HYPERNODE_API_KEY"
CERTIFICATE: Final = "HYPERNODE_CERTIFICATE"
CONTEXT: Final = "HYPERNODE_CONTEXT"
CONFIG: Final = "HYPERNODE_CONFIG"


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to reach one coordinator. `certificate`: path of a PEM file, or "sha256:" and a fingerprint."""

    url: str
    key: str | None = None
    certificate: str | None = None

    def __repr__(self) -> str:
        return f"Context(url={self.url!r}, key={'…' if self.key else None}, certificate={self.certificate!r})"


class Config(msgspec.Struct, frozen=True):
    """The configuration file."""

    current: str | None = None
    contexts: dict[str, Context] = {}


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """$HYPERNODE_CONFIG, or hypernode/config.json in the user's configuration folder."""
    named = environment.get(CONFIG)
    if named:
        return Path(named).expanduser()
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "hypernode" / "config.json"


def load_config(path: Path | None = None) -> Config:
    """The configuration; empty where there is no file. Raises ConfigInvalid."""
    path = path or config_path()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except FileNotFoundError:
        return Config()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"cannot read the configuration {path}: {error}") from error


def save_context(name: str, context: Context, *, current: bool = True, path: Path | None = None) -> Path:
    """Add or replace a context and, unless told otherwise, make it the current one. Gives the file's path."""
    path = path or config_path()
    config = load_config(path)
    chosen = name if current or config.current is None else config.current
    return _write(path, Config(chosen, config.contexts | {name: context}))


def use_context(name: str, path: Path | None = None) -> Context:
    """Make a context the current one. Raises ConfigInvalid when there is none of that name."""
    path = path or config_path()
    config = load_config(path)
    context = _named(config, name, path)
    _write(path, Config(name, config.contexts))
    return context


def remove_context(name: str, path: Path | None = None) -> None:
    """Forget a context; nothing happens where there is none."""
    path = path or config_path()
    config = load_config(path)
    if name not in config.contexts:
        return
    rest = {key: context for key, context in config.contexts.items() if key != name}
    _write(path, Config(None if config.current == name else config.current, rest))


def load_context(
    name: str | None = None, *, environment: Mapping[str, str] = os.environ, path: Path | None = None
) -> Context:
    """The context named, or that of the environment, or the current one of the file. Raises ConfigInvalid.

    An address from the environment never goes with a key from the file: a key is for one coordinator only.
    """
    if name is None and environment.get(URL):
        # Set but empty means unset, as scripts often have it.
        return Context(environment[URL], environment.get(API_KEY) or None, environment.get(CERTIFICATE) or None)
    path = path or config_path(environment)
    config = load_config(path)
    if name is not None:
        return _named(config, name, path)
    name = environment.get(CONTEXT) or config.current
    if name is None:
        raise ConfigInvalid(f"no coordinator is configured; start one with 'hypernode up', or set {URL} and {API_KEY}")
    found = _named(config, name, path)
    return Context(found.url, environment.get(API_KEY) or found.key, environment.get(CERTIFICATE) or found.certificate)


def _named(config: Config, name: str, path: Path) -> Context:
    if name not in config.contexts:
        known = ", ".join(sorted(config.contexts)) or "none"
        raise ConfigInvalid(f"there is no context {name!r} in {path} (there are: {known})")
    return config.contexts[name]


def _write(path: Path, config: Config) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes it readable by the owner only, before a key is in it.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigInvalid(f"cannot write the configuration {path}: {error}") from error
    return path


def choose(
    url: str | None,
    key: str | None,
    certificate: str | os.PathLike[str] | None,
    context: str | None,
    environment: Mapping[str, str] = os.environ,
) -> Context:
    """What a client's arguments mean: an address given goes with the key given beside it, or with the environment's
    unless that is for another address; without an address, the context named or configured."""
    pin = None if certificate is None else os.fspath(certificate)
    if url is not None:
        if context is not None:
            raise ConfigInvalid("give either an address or a context, not both")
        if environment.get(URL, url).rstrip("/") == url.rstrip("/"):
            key, pin = key or environment.get(API_KEY), pin or environment.get(CERTIFICATE)
        return Context(url, key, pin)
    found = load_context(context, environment=environment)
    return Context(found.url, key or found.key, pin or found.certificate)
