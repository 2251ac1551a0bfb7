"""From a command line and local files to a job document: what `hypernode run` does before anything is sent."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final, TypeAlias

import msgspec

from hypernode.client.errors import CommandUnsupported, FileUnusable
from hypernode.client.sources import Source, Uploadable
from hypernode.jobs import model
from hypernode.jobs.model import ArtifactRef, JobDocument
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput

InputSource: TypeAlias = Uploadable | ArtifactRef
"""A local file or folder (by path), bytes, or an artifact that the network has already."""

_REFERENCE: Final = re.compile(r"^sha256:([0-9a-f]{64}):([0-9]{1,15})$")
WASM_MODULE: Final = b"\0asm\x01\0\0\0"
"""How a core module begins."""
_PYTHONS: Final = ("python", "python3")


class LocalInput(msgspec.Struct, frozen=True):
    """Bytes that must be uploaded before the job is submitted."""

    what: Any
    ref: ArtifactRef


class LocalJob(msgspec.Struct, frozen=True):
    """A job document together with the local files it refers to. Clients take it wherever they take a document."""

    document: JobDocument
    uploads: tuple[LocalInput, ...] = ()

    @property
    def upload_bytes(self) -> int:
        """How much there is to upload at most."""
        return sum(part.ref.size_bytes for part in self.uploads)

    def with_cap(self, cap: int) -> LocalJob:
        """The same with another cap, in µHYPER."""
        return LocalJob(msgspec.structs.replace(self.document, cap=cap), self.uploads)


def command_job(command: Sequence[str], *, fuel: int | None = None, seed: int | None = None, **rest: Any) -> LocalJob:
    """A job from a command line: `wasm_job` where its program is a `.wasm` file, else `python_job`; `rest` as they take
    it. Raises what they raise, and CommandUnsupported for an option of the other one."""
    if command and command[0].endswith(".wasm"):
        if rest.pop("lock", None) is not None:
            raise CommandUnsupported("packages are for Python; a WebAssembly module brings everything with it")
        return wasm_job(command[0], command[1:], fuel=fuel, seed=seed, **rest)
    if fuel is not None or seed is not None:
        raise CommandUnsupported("fuel and seed are for WebAssembly modules; Python has neither")
    return python_job(command, **rest)


def wasm_job(
    module: str,
    arguments: Sequence[str] = (),
    *,
    fuel: int | None = None,
    seed: int | None = None,
    cap: int | str = 0,
    inputs: Mapping[str, InputSource] | None = None,
    outputs: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> LocalJob:
    """A job that runs a WebAssembly module: a WASI preview 1 command, by path, or by name if it is among the inputs.

    `fuel` bounds the instructions it may execute; `seed` (0 … 2^53-1) gives it random bytes, the same for the same seed
    and task. The rest is as for `python_job`. Raises FileUnusable (also for a local file that is no such module), or
    InvalidInput with every wrong field.
    """
    sources = _sources(inputs)
    name = _place(module, sources, "module")
    _check_module(name, sources[name])
    runtime = {"type": "wasm", "module": name, "arguments": list(arguments), "fuel": fuel, "seed": seed}
    return _assemble(runtime, sources, cap=cap, outputs=outputs, environment=environment or {}, fields=fields)


def python_job(
    command: Sequence[str],
    *,
    cap: int | str = 0,
    inputs: Mapping[str, InputSource] | None = None,
    lock: bytes | ArtifactRef | None = None,
    outputs: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> LocalJob:
    """A job from a command line such as `["python", "fit.py", "--fast"]`. Reads and hashes the files it names.

    `cap` is µHYPER for one task, or a text with its unit. `inputs` maps names below /in to files, folders (whose
    files then lie below that name), bytes or artifacts; the script joins them by itself. `lock` is what
    `resolve_requirements` gives. `fields` are further fields of the job document, in plain form: `resources`,
    `timeout_s`, `retries`, `array`, `labels`, `isolation`, `name`.

    Raises CommandUnsupported, FileUnusable, or InvalidInput with every wrong field.
    """
    runtime, script, variables = parse_command(command)
    sources = _sources(inputs)
    if script is not None:
        runtime["script"] = _place(script, sources, "script")
    variables |= environment or {}
    return _assemble(runtime, sources, lock=lock, cap=cap, outputs=outputs, environment=variables, fields=fields)


def _assemble(
    runtime: dict[str, Any],
    sources: Mapping[str, InputSource],
    *,
    lock: bytes | ArtifactRef | None = None,
    cap: int | str,
    outputs: Sequence[str],
    environment: Mapping[str, str],
    fields: Mapping[str, Any],
) -> LocalJob:
    """The document, checked, with its inputs hashed."""
    if len(sources) > limits.INPUTS:
        raise FileUnusable(f"{len(sources)} inputs where a job can have {limits.INPUTS}; pack them into an archive")
    uploads: dict[ArtifactRef, LocalInput] = {}
    references = {name: _refer(what, uploads) for name, what in sources.items()}
    if lock is not None:
        runtime["requirements"] = _refer(lock, uploads)
    document = model.parse(
        {
            "version": model.VERSION,
            "runtime": msgspec.to_builtins(runtime),
            "cap": cap,
            "inputs": msgspec.to_builtins(references),
            "outputs": list(outputs),
            "environment": dict(environment),
            **{name: value for name, value in fields.items() if value is not None},
        }
    )
    model.encode(document)  # refuses what no JSON can hold, such as arguments or file names that are not UTF-8
    return LocalJob(document, tuple(uploads.values()))


def parse_command(command: Sequence[str]) -> tuple[dict[str, Any], str | None, dict[str, str]]:
    """What a command line means: the runtime's fields, the script to send along, and variables that stand for
    options. Raises CommandUnsupported for anything but Python."""
    if not command:
        raise CommandUnsupported("no command is given; write it after --, as in: hypernode run -- python script.py")
    program, *rest = command
    if program not in _PYTHONS:
        tail = " ".join(shlex.quote(word) for word in command)
        hint = f"; did you mean: python {tail}" if program.endswith(".py") else ""
        raise CommandUnsupported(f"{program!r} cannot be run: python and .wasm modules can{hint}")
    variables: dict[str, str] = {}
    while rest and rest[0] == "-u":
        variables["PYTHONUNBUFFERED"] = "1"
        rest = rest[1:]
    if not rest or rest[0] == "-":
        raise CommandUnsupported("python needs a script, -c CODE or -m MODULE; a job has no terminal to read from")
    first, *arguments = rest
    if first in ("-c", "-m"):
        if not arguments:
            raise CommandUnsupported(f"python {first} needs {'code' if first == '-c' else 'a module name'} after it")
        field = "code" if first == "-c" else "module"
        return {"type": "python", field: arguments[0], "arguments": arguments[1:]}, None, variables
    if first.startswith("-"):
        raise CommandUnsupported(f"python {first} is not supported; -c, -m and -u are, and environment variables")
    return {"type": "python", "arguments": arguments}, first, variables


def parse_input(text: str) -> tuple[str, InputSource]:
    """`NAME=PATH`, `PATH` (named by its last part) or `NAME=sha256:HEX:BYTES`. Raises InvalidInput."""
    name, separator, value = text.partition("=")
    if not separator:
        name, value = PurePath(text).name, text
    if not name or not value:
        raise InvalidInput(f"{text!r} is not an input; write NAME=PATH, PATH or NAME=sha256:HEX:BYTES")
    if value.startswith("sha256:"):
        found = _REFERENCE.match(value)
        if found is None:
            raise InvalidInput(f"{value!r} is not a reference; write sha256:HEX:BYTES, as 'hypernode upload' prints it")
        return name, ArtifactRef(found[1], int(found[2]))
    return name, Path(value)


def _sources(inputs: Mapping[str, InputSource] | None) -> dict[str, InputSource]:
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


def _place(program: str, sources: dict[str, InputSource], kind: str) -> str:
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


def _check_module(name: str, what: InputSource) -> None:
    """Refuse at once what no node will run. What the network has already is the nodes' to judge."""
    if isinstance(what, ArtifactRef):
        return
    head = Source(what).read(0, 8)
    if head[:4] == b"\0asm" and head != WASM_MODULE:
        raise FileUnusable(f"{name!r} is a WebAssembly component; a core module with WASI preview 1 is needed")
    if head != WASM_MODULE:
        raise FileUnusable(f"{name!r} is not a WebAssembly module; compile one with a wasm32-wasip1 target")


def _refer(what: InputSource, uploads: dict[ArtifactRef, LocalInput]) -> ArtifactRef:
    """The reference of an input, noted for uploading where it is local."""
    if isinstance(what, ArtifactRef):
        return what
    ref = Source(what).identify()
    uploads.setdefault(ref, LocalInput(what, ref))
    return ref
