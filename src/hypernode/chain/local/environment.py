"""The packages that a local chain pins, in a folder of their own.

LiteSVM comes with solders, and each version of solders holds another runtime, so the chain pins one exactly. Clients in
this environment may need another: what pays over HTTP today wants an older one. So the chain's packages lie in a layer
that only its own process sees, before everything else it shares with us.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from hypernode.kernel.errors import Unavailable

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
INSTALL_S: Final = 300.0


def ensure(home: Path | None = None) -> Path:
    """The folder with the packages, installed if it is not there yet: that takes a package index, once for each version
    of the requirements. Raises Unavailable with what the installer said."""
    root = (home or Path(os.environ.get("HYPERNODE_HOME", "~/.hypernode")).expanduser()) / "chain"
    tag = f"{sys.implementation.cache_tag}-{sys.platform}".encode()
    place = root / f"packages-{hashlib.sha256(REQUIREMENTS.read_bytes() + tag).hexdigest()[:16]}"
    if place.is_dir():
        return place
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(root), tempfile.TemporaryDirectory(dir=root, prefix="installing-") as made:
            if not place.is_dir():
                _install(Path(made) / "packages")
                # Renamed when whole, so that half of it is never seen.
                (Path(made) / "packages").rename(place)
    except OSError as error:
        raise Unavailable(f"cannot install the local chain's packages in {root}: {error}") from error
    return place


def _install(folder: Path) -> None:
    command = [
        *(find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--python", sys.executable, "--target", str(folder), "--requirement", str(REQUIREMENTS)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"installing the local chain's packages took longer than {INSTALL_S:.0f} s") from error
    if done.returncode:
        raise Unavailable(f"the local chain's packages could not be installed: {done.stderr.strip()[-1500:]}")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
