"""The peers' own virtual environments, made when they are first needed and kept in the user's cache folder, one for
each state of its lock. Whoever deletes them gets them again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uv

from bench.measuring import Say
from bench.peers.catalogue import PeerSpec

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
INSTALL_S: Final = 600
NEWEST_MINOR: Final = 20
"""Up to which Python 3 is looked for."""


class EnvironmentFailed(Exception):
    """A peer's environment cannot be made; the message says why."""


def python_of(peer: PeerSpec, say: Say) -> Path:
    """The Python of an environment with exactly what the peer's requirements file locks. Raises EnvironmentFailed."""
    lock = REQUIREMENTS / f"{peer.module}.txt"
    base = _interpreter(peer.python)
    digest = hashlib.sha256(lock.read_bytes() + os.fsencode(base)).hexdigest()[:16]
    cache = _cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{peer.module}-{digest}"
    with (cache / f"{peer.module}.lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the bench may run twice at once
        complete = folder / "complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            say(f"installing {peer.name} into {folder}")
            _uv("venv", "--quiet", "--python", str(base), str(folder))
            # Wheels wherever there are any: what a build needs is not locked.
            wheels = ("--only-binary", ":all:", *(word for name in peer.built for word in ("--no-binary", name)))
            locked = ("--require-hashes", *wheels, str(lock))
            _uv("pip", "sync", "--quiet", "--python", str(folder / "bin" / "python"), *locked)
            complete.touch()
    return folder / "bin" / "python"


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "hypernode" / "bench"


def _uv(*arguments: str) -> None:
    try:
        subprocess.run([uv.find_uv_bin(), *arguments], check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        raise EnvironmentFailed(f"uv {arguments[0]} failed: {error.stderr.strip()[-1000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"uv {arguments[0]} failed: {error}") from error


def _interpreter(oldest: tuple[int, int]) -> Path:
    """This Python where it is new enough, as it runs Hypernode, too; else the oldest other one that is."""
    if sys.version_info[:2] >= oldest:
        return Path(sys.executable).resolve()
    for candidate in _candidates(oldest):
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            continue  # a version manager's stand-in for a version that is not chosen
        return candidate.resolve()
    raise EnvironmentFailed(f"it runs on Python {oldest[0]}.{oldest[1]} or newer, and none is installed")


def _candidates(oldest: tuple[int, int]) -> Iterator[Path]:
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(oldest[1], NEWEST_MINOR):
        found = shutil.which(f"python3.{minor}")
        if found is not None:
            yield Path(found)
        yield from sorted(managed.glob(f"3.{minor}.*/bin/python3.{minor}"))
