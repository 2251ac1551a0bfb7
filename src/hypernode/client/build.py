"""From a command line and local files to a job document: what `hypernode run` does before anything is sent."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from hypernode.client.errors import CommandUnsupported, FileUnusable
from hypernode.client.inputs import InputSource, LocalInput, check_module, place, refer, sources_of
from hypernode.jobs import model
from hypernode.jobs.model import ArtifactRef, Destination, JobDocument
from hypernode.kernel import decode, limits
from hypernode.kernel.errors import InvalidInput

_REFERENCE: Final = re.compile(r"^sha256:([0-9a-f]{64}):([0-9]{1,15})$")
_PYTHONS: Final = ("python", "python3")


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


def command_job(
    command: Sequence[str],
    *,
    image: str | None = None,
    entrypoint: Sequence[str] | None = None,
    working_folder: str | None = None,
    registry_secret: str | None = None,
    fuel: int | None = None,
    seed: int | None = None,
    lock: bytes | ArtifactRef | None = None,
    **rest: Any,
) -> LocalJob:
    """A job from a command line: `container_job` where there is an image, `wasm_job` where its program is a `.wasm`
    file, else `python_job`; `rest` as they take it. Raises what they raise, and CommandUnsupported for options of
    another one."""
    wasm = image is None and bool(command) and command[0].endswith(".wasm")
    if image is None and (entrypoint is not None or working_folder is not None or registry_secret is not None):
        raise CommandUnsupported("entry point, working folder and registry secret are for containers; name an image")
    if not wasm and (fuel is not None or seed is not None):
        raise CommandUnsupported("fuel and seed are for WebAssembly modules; Python and containers have neither")
    if lock is not None and (wasm or image is not None):
        what = "a WebAssembly module" if wasm else "an image"
        raise CommandUnsupported(f"packages are for Python; {what} brings everything with it")
    if image is not None:
        return container_job(
            image,
            command or None,
            entrypoint=entrypoint,
            working_folder=working_folder,
            registry_secret=registry_secret,
            **rest,
        )
    if wasm:
        return wasm_job(command[0], command[1:], fuel=fuel, seed=seed, **rest)
    return python_job(command, lock=lock, **rest)


def container_job(
    image: str,
    arguments: Sequence[str] | None = None,
    *,
    entrypoint: Sequence[str] | None = None,
    working_folder: str | None = None,
    registry_secret: str | None = None,
    cap: int | str = 0,
    inputs: Mapping[str, InputSource] | None = None,
    outputs: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> LocalJob:
    """A job that runs a container image: `NAME[:TAG][@DIGEST]`, as `docker pull` takes it. A tag is replaced by its
    digest when the job is submitted; the document that is answered shows which.

    `arguments` and `entrypoint` replace the image's own. `registry_secret` names the secret of the project that opens
    a private registry. The rest is as for `python_job`. Raises FileUnusable, or InvalidInput with every wrong field.
    """
    runtime = {
        "type": "container",
        "image": image,
        "entrypoint": None if entrypoint is None else list(entrypoint),
        "arguments": None if arguments is None else list(arguments),
        "working_folder": working_folder,
        "registry_secret": registry_secret,
    }
    sources = sources_of(inputs)
    return _assemble(runtime, sources, cap=cap, outputs=outputs, environment=environment or {}, fields=fields)


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
    sources = sources_of(inputs)
    name = place(module, sources, "module")
    check_module(name, sources[name])
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
    `timeout_s`, `retries`, `array`, `labels`, `isolation`, `network`, `name`.

    Raises CommandUnsupported, FileUnusable, or InvalidInput with every wrong field.
    """
    runtime, script, variables = parse_command(command)
    sources = sources_of(inputs)
    if script is not None:
        runtime["script"] = place(script, sources, "script")
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
    references = {name: refer(what, uploads) for name, what in sources.items()}
    if lock is not None:
        runtime["requirements"] = refer(lock, uploads)
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
        raise CommandUnsupported(
            f"{program!r} cannot be run: python and .wasm modules can, and whatever is in an image (--image){hint}"
        )
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


def parse_destination(text: str) -> Destination:
    """`HOST` or `HOST:PORT`, as in example.org, *.example.org:8443 or [2606:4700::1]:443. Raises InvalidInput."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(Destination("a").port)
    host = (host[1:-1] if ":" in host and host[0] + host[-1] == "[]" else host).lower()
    try:
        return decode.from_plain({"host": host, "port": int(port) if port.isdecimal() else port}, Destination)
    except InvalidInput as error:
        why = "; ".join(one.message for one in error.errors)
        raise InvalidInput(f"{text!r} is not a host to allow: {why}. Write HOST or HOST:PORT") from error


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
