"""Local files that a job brings: found, hashed, and named as the job will see them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from hypernode.client.errors import FileUnusable
from hypernode.client.sources import Source, Uploadable
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits

InputSource: TypeAlias = Uploadable | ArtifactRef
"""A local file or folder (by path), bytes, or an artifact that the network has already."""

WASM_MODULE: Final = b"\0asm\x01\0\0\0"
"""How a core module begins."""


class LocalInput(msgspec.Struct, frozen=True):
    """Bytes that must be uploaded before the job is submitted."""

    what: Any
    ref: ArtifactRef


def sources_of(inputs: Mapping[str, InputSource] | None) -> dict[str, InputSource]:
    """The inputs file by file, folders unfolded. Raises FileUnusable."""
    sources: dict[str, InputSource] = {}
    for name, what in (inputs or {}).items():
        sources |= _expand(name, what)
    return sources


def _expand(name: str, what: InputSource) -> dict[str, InputSource]:
    """An input as the files it stands for; a folder is all files below it, links to folders not followed."""
    if not isinstance(what, str | os.PathLike):
        return {name: what}
    path = Path(what)
    if not path.is_dir():
        if not path.exists():
            raise FileUnusable(f"input {name!r}: there is no file {str(path)!r}")
        if not path.is_file():
            raise FileUnusable(f"input {name!r}: {str(path)!r} is neither a file nor a folder")
        return {name: path}
    found: dict[str, InputSource] = {}
    for folder, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            inner = Path(folder) / file
            if not inner.is_file():
                raise FileUnusable(f"input {name!r}: {str(inner)!r} is not a file")
            found[f"{name}/{inner.relative_to(path).as_posix()}"] = inner
            if len(found) > limits.INPUTS:
                raise FileUnusable(f"input {name!r}: {str(path)!r} holds more than {limits.INPUTS} files; pack them")
    if not found:
        raise FileUnusable(f"input {name!r}: the folder {str(path)!r} holds no files")
    return found


def place(program: str, sources: dict[str, InputSource], kind: str) -> str:
    """Add the script or module to the inputs, unless it is one, and give its name there."""
    if program in sources:
        return program
    path = Path(program)
    if not path.is_file():
        raise FileUnusable(f"there is no {kind} {program!r}, here or among the inputs")
    taken = sources.get(path.name)
    if taken is not None and not (isinstance(taken, Path) and taken.samefile(path)):
        raise FileUnusable(f"an input is called {path.name!r} like the {kind}; give it another name")
    sources[path.name] = path
    return path.name


def check_module(name: str, what: InputSource) -> None:
    """Refuse at once what no node will run. What the network has already is the nodes' to judge."""
    if isinstance(what, ArtifactRef):
        return
    head = Source(what).read(0, 8)
    if head[:4] == b"\0asm" and head != WASM_MODULE:
        raise FileUnusable(f"{name!r} is a WebAssembly component; a core module with WASI preview 1 is needed")
    if head != WASM_MODULE:
        raise FileUnusable(f"{name!r} is not a WebAssembly module; compile one with a wasm32-wasip1 target")


def refer(what: InputSource, uploads: dict[ArtifactRef, LocalInput]) -> ArtifactRef:
    """The reference of an input, noted for uploading where it is local."""
    if isinstance(what, ArtifactRef):
        return what
    ref = Source(what).identify()
    uploads.setdefault(ref, LocalInput(what, ref))
    return ref
