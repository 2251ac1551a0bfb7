"""Requirements to a lock with hashes, by uv: what `--with rdkit` means is decided here, once, before anything runs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import Final

from hypernode.client.errors import RequirementsUnresolvable
from hypernode.kernel import limits

TIMEOUT_S: Final = 300
_TAIL_CHARS: Final = 4000
_INDEX_OPTION: Final = re.compile(
    rb"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--default-index|--index)\b"
)
_REQUIREMENTS: Final = 256


def resolve_requirements(requirements: Sequence[str], python: str = "3.11") -> bytes:
    """A lock for any platform and for `python` or newer: exact versions with the hashes of their wheels.

    Resolved with the user's ordinary uv and pip configuration; the lock names no index, since each node has its own.
    Packages without wheels are not found, because a node builds nothing. Blocks for seconds.

    Raises RequirementsUnresolvable with the end of what uv said.
    """
    wanted = [_checked(requirement) for requirement in requirements]
    if not wanted or len(wanted) > _REQUIREMENTS:
        raise RequirementsUnresolvable(f"{len(wanted)} requirements where 1 to {_REQUIREMENTS} can be resolved")
    command = [
        _uv(),
        *("pip", "compile", "-", "--universal", "--python-version", python, "--generate-hashes"),
        *("--only-binary", ":all:", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
        *("--quiet", "--color", "never"),
    ]
    try:
        done = subprocess.run(
            command, input="\n".join(wanted).encode() + b"\n", capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RequirementsUnresolvable(f"uv has not resolved {', '.join(wanted)} within {TIMEOUT_S} s") from error
    except OSError as error:
        raise RequirementsUnresolvable(f"cannot start uv: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-_TAIL_CHARS:]
        raise RequirementsUnresolvable(f"uv cannot resolve {', '.join(wanted)}:\n{said}")
    return clean(done.stdout)


def clean(lock: bytes) -> bytes:
    """A lock without options that name an index. Raises RequirementsUnresolvable unless every package has a hash."""
    lines = [line for line in lock.splitlines() if line.strip() and not _INDEX_OPTION.match(line)]
    text = b"\n".join(lines) + b"\n"
    if len(text) > limits.LOCK_BYTES:
        raise RequirementsUnresolvable(f"the lock has {len(text)} bytes, more than {limits.LOCK_BYTES}")
    packages = [entry for entry in text.replace(b"\\\n", b" ").splitlines() if not entry.lstrip().startswith(b"#")]
    for entry in packages:
        if entry.strip() and b"--hash=" not in entry:
            raise RequirementsUnresolvable(f"{entry.strip().decode(errors='replace')!r} has no hash; name a release")
    return text


def _checked(requirement: str) -> str:
    """One requirement, which must not be an option or a path that uv would read from this machine."""
    text = requirement.strip()
    if not text or not text[0].isalnum() or "\n" in text or "\r" in text or not text.isprintable():
        raise RequirementsUnresolvable(f"{requirement!r} is not a requirement; write a name, as in 'numpy>=2'")
    if "://" in text or "@" in text or "/" in text:
        raise RequirementsUnresolvable(f"{requirement!r} names a place; only releases of a package index can be used")
    return text


def _uv() -> str:
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise RequirementsUnresolvable("uv is not installed; it comes with hypernode: reinstall it") from error
