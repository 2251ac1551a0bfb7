"""`make programs`: all that is made from the sources in `programs/`, and the check that it is current.

    python -m solana_programs.build                write generated Rust, IDLs, images and their hashes
    python -m solana_programs.build --check        build elsewhere and exit with 1 where a committed file differs
    python -m solana_programs.build --declared     only what the declarations alone decide; needs no Rust

Rust comes from Debian's `rustc-web`, `cargo-web` and `rust-web-src`, whose compiler has the eBPF target and its core
library's source. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from . import idl, python, rust
from .declaration import load
from .linker import Version, link

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "programs"
MADE: Final = "src/hypernode/chain/programs"
"""Where IDLs and images lie, below the root: they come with the package."""
SELFTEST: Final = "selftest"
"""A program that is never deployed, and so needs no client."""
SUFFIXES: Final[Mapping[Version, str]] = {"v3": ".so", "v0": ".v0.so"}

_CARGO, _RUSTC = "/usr/bin/cargo", "/usr/bin/rustc"
_PACKAGES: Final = "rustc-web cargo-web rust-web-src"
_BUILD_LIMIT_S: Final = 900
_VENDORED: Final = """\
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/lib/rustlib/src/rust/library/vendor"
"""
"""The core library's own dependencies come with its source, so no registry is asked."""


class BuildError(Exception):
    """What could not be built, and what to do."""


def names(programs: Path = PROGRAMS) -> list[str]:
    """The programs, by name."""
    return sorted(path.parent.name for path in programs.glob("*/program.toml"))


def declared(programs: Path = PROGRAMS) -> dict[str, bytes]:
    """What the declarations decide: path below the root to contents."""
    files: dict[str, bytes] = {}
    for name in names(programs):
        program = load(programs, name)
        described = idl.generate(program)
        files[f"programs/{name}/src/generated.rs"] = rust.generate(program).encode()
        files[f"{MADE}/idl/{name}.json"] = (json.dumps(described, indent=1) + "\n").encode()
        if name != SELFTEST:
            files[f"{MADE}/typed/{name}.py"] = python.generate(described).encode()
    return files


def compiled(source: Path = PROGRAMS, target: Path | None = None) -> dict[str, bytes]:
    """The images of all programs and their hashes, compiled from a copy of the sources in a folder of its own.

    What cargo makes on the way is kept in `target` if it is given. Raises BuildError.
    """
    if not Path(_CARGO).exists() or not Path(_RUSTC).exists():
        raise BuildError(f"no {_CARGO}; install as root: apt-get install {_PACKAGES}")
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        place = target or Path(folder)
        workspace = place / "sources"
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(source, workspace, ignore=shutil.ignore_patterns("target"))
        return _images(workspace, names(source), place / "target")


def compiler() -> str:
    """The compiler's version, which the images depend on."""
    return subprocess.run([_RUSTC, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def _images(workspace: Path, programs: Iterable[str], target: Path) -> dict[str, bytes]:
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.toml").write_text(_VENDORED)
    linker = target / "linker"
    linker.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT / 'tools'))} "
        f'exec {shlex.quote(sys.executable)} -m solana_programs.frontend "$@"\n'
    )
    linker.chmod(0o755)
    flags = [
        f"-Clinker={linker}", "-Ctarget-cpu=v2", "-Ctarget-feature=+allows-misaligned-mem-access",
        "-Zunstable-options", "-Cpanic=immediate-abort", f"--remap-path-prefix={workspace}=programs",
    ]  # fmt: skip
    environment = {
        "PATH": f"/usr/bin:{os.environ['PATH']}",
        "HOME": str(target),
        "CARGO_TARGET_DIR": str(target),
        # The BPF target is in the stable compiler; building its core library is what needs leave.
        "RUSTC_BOOTSTRAP": "1",
        "RUSTC": _RUSTC,
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
    }
    built = subprocess.run(
        [
            _CARGO,
            "build",
            "--release",
            "--offline",
            "--quiet",
            "--config",
            str(target / "config.toml"),
            "--target",
            "bpfel-unknown-none",
            "-Zbuild-std=core",
        ]
        + [part for name in programs for part in ("-p", name)],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_LIMIT_S,
        check=False,
    )
    if built.returncode:
        raise BuildError(f"cargo failed:\n{built.stderr[-20000:]}")
    if built.stderr.strip():
        print(built.stderr, file=sys.stderr)
    files: dict[str, bytes] = {}
    for name in programs:
        found = [
            path
            for path in (target / "bpfel-unknown-none" / "release").iterdir()
            if path.stem.removeprefix("lib") == name and path.suffix != ".d"
        ]
        if len(found) != 1:
            raise BuildError(f"cargo left {[path.name for path in found]} for {name}, not one object")
        for version, suffix in SUFFIXES.items():
            files[f"{MADE}/images/{name}{suffix}"] = link(found, version)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {Path(path).name}\n" for path, data in sorted(files.items()))
    files[f"{MADE}/images/SHA256SUMS"] = sums.encode()
    files[f"{MADE}/images/COMPILER"] = (compiler() + "\n").encode()
    return files


def differing(files: Mapping[str, bytes], root: Path = ROOT) -> list[str]:
    """The paths whose committed contents are not these."""
    return [path for path, data in files.items() if not (root / path).is_file() or (root / path).read_bytes() != data]


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="make programs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--declared", action="store_true")
    parser.add_argument("--target", type=Path, help="keep what cargo makes here, for a faster next build")
    options = parser.parse_args()
    files = declared()
    if not options.check:
        _write(files)
    if not options.declared:
        files |= compiled(target=options.target)
    stale = differing(files)
    if options.check:
        for path in stale:
            print(f"{path} is not what its sources make", file=sys.stderr)
        return 1 if stale else 0
    _write({path: files[path] for path in stale})
    print(f"{len(files)} files, {len(stale)} changed")
    return 0


def _write(files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(data)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BuildError as error:
        sys.exit(f"programs: {error}")
