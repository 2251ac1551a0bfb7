"""The job document: one frozen, canonical description of a piece of work. Its SHA-256 is its content id.

A document is the same in JSON and YAML. It is decoded with every error at once (`parse`), and where people like to
write units (`512MiB`, `10m`, `1.5 HYPER`) it takes them; what is stored, hashed and sent is always the canonical form
in base units.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from hypernode.images import references
from hypernode.kernel import decode, limits
from hypernode.kernel.canonical import SHA256_PATTERN, ContentId, canonical, content_id
from hypernode.kernel.errors import TooLarge
from hypernode.kernel.money import MicroHyper

VERSION: Final = 1

_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_path(path: str) -> None:
    """Raise ValueError unless `path` is relative, normal and stays below its root."""
    parts = path.split("/")
    if path.startswith("/") or "" in parts or "." in parts or ".." in parts or "\\" in path:
        raise ValueError(f"{path!r} must be a relative path without '.', '..', '\\' or empty parts")
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} contains control characters")
    if any(len(part.encode(errors="surrogatepass")) > 255 for part in parts):
        raise ValueError(f"{path[:60]!r}… has a part longer than 255 bytes")


def check_absolute(path: str) -> None:
    """Raise ValueError unless `path` is absolute and normal."""
    if not path.startswith("/"):
        raise ValueError(f"{path!r} must be an absolute path")
    if path != "/":
        check_path(path[1:])


def check_host(host: str) -> None:
    """Raise ValueError unless `host` is a name, a name behind `*.`, or an IPv4 or IPv6 address in its usual form."""
    name = host.removeprefix("*.")
    # What ends in a number is an address to everything that resolves names: 127.1 is 127.0.0.1 in disguise.
    if _HOST.fullmatch(name) and not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return
    if name != host:
        raise ValueError(f"{host!r}: what follows '*.' must be a host name")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is neither a host name in lower case nor an IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or ipaddress.IPv6Address(int(address))  # without a zone
    if str(address) != host:
        raise ValueError(f"{host!r}: write the address as {address}")


# `$` alone would take a final newline; `(?!\n)` after it is understood by Python and ECMAScript alike.
Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN, min_length=64, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
VariableName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")]
VariableValue = Annotated[str, Meta(max_length=limits.ARGUMENT_CHARS)]
RelativePath = Annotated[str, Meta(min_length=1, max_length=limits.PATH_CHARS, extra={"check": check_path})]
Argument = Annotated[str, Meta(max_length=limits.ARGUMENT_CHARS)]
ImageName = Annotated[str, Meta(min_length=1, max_length=limits.IMAGE_NAME_CHARS, extra={"check": references.check})]
AbsolutePath = Annotated[str, Meta(min_length=1, max_length=limits.PATH_CHARS, extra={"check": check_absolute})]
HostPattern = Annotated[str, Meta(min_length=1, max_length=253, extra={"check": check_host})]


class ArtifactRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An artifact by content: SHA-256 of its bytes, and how many there are."""

    sha256: Sha256
    size_bytes: Annotated[int, Meta(ge=0, le=limits.ARTIFACT_BYTES)]


class PythonRuntime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="python"):
    """Run Python. Exactly one of `script` (the name of an input), `module` and `code` says what.

    `requirements` is an artifact: a lock with hashes as `uv pip compile --generate-hashes` writes it. A node installs
    it from wheels only, outside the sandbox, and mounts the result read-only.
    """

    script: RelativePath | None = None
    module: Annotated[str, Meta(max_length=256, pattern=r"^[A-Za-z_][\w.]*$(?!\n)")] | None = None
    code: Annotated[str, Meta(max_length=limits.CODE_CHARS)] | None = None
    arguments: Annotated[tuple[Argument, ...], Meta(max_length=limits.ARGUMENTS)] = ()
    requirements: ArtifactRef | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.script, self.module, self.code)) != 1:
            raise ValueError("exactly one of script, module and code must be given")
        texts = [*self.arguments, self.code or ""]
        if any("\x00" in text for text in texts):
            raise ValueError("arguments and code must not contain NUL characters")


class WasmRuntime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="wasm"):
    """Run a WebAssembly module: a WASI preview 1 command, by the name of the input that holds it.

    Nothing varies between two runs: clocks stand still, and there is no randomness without a `seed`. `fuel` bounds how
    many instructions may be executed (one unit each, roughly); without it, only the timeout does.
    `resources.memory_bytes` bounds the module's linear memory.
    """

    module: RelativePath
    arguments: Annotated[tuple[Argument, ...], Meta(max_length=limits.ARGUMENTS)] = ()
    fuel: Annotated[int, Meta(ge=1, le=limits.WASM_FUEL)] | None = None
    seed: Annotated[int, Meta(ge=0, le=limits.WASM_SEED)] | None = None

    def __post_init__(self) -> None:
        if any("\x00" in text for text in self.arguments):
            raise ValueError("arguments must not contain NUL characters")


class ContainerRuntime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="container"):
    """Run a container image. Its file system is read-only; /tmp and, where the job has outputs, /out can be written.

    `image` names it as `docker pull` does. A node only takes one with a digest (`name@sha256:…`); where a submitted
    job has none, the coordinator asks the registry what its tag stands for and writes the digest into the document.
    `entrypoint` and `arguments` replace the image's own; an `entrypoint` drops the image's arguments, too. The image's
    environment holds below that of the job; its user does not hold: a job always runs as an ordinary one.
    `registry_secret` names the secret of the project that opens a private registry.
    """

    image: ImageName
    entrypoint: Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=limits.ARGUMENTS)] | None = None
    arguments: Annotated[tuple[Argument, ...], Meta(max_length=limits.ARGUMENTS)] | None = None
    working_folder: AbsolutePath | None = None
    """By default the image's; if that is / then /out, or /tmp for a job without outputs."""
    registry_secret: Name | None = None

    def __post_init__(self) -> None:
        references.check(self.image)
        if self.working_folder is not None:
            check_absolute(self.working_folder)
        if any("\x00" in text for text in (*(self.arguments or ()), *(self.entrypoint or ()))):
            raise ValueError("arguments must not contain NUL characters")
        if self.entrypoint is not None and not self.entrypoint[0]:
            raise ValueError("the first part of entrypoint names the program; it must not be empty")

    @property
    def reference(self) -> references.Reference:
        """The image's name, taken apart."""
        return references.parse(self.image)


Runtime = PythonRuntime | WasmRuntime | ContainerRuntime
"""The tagged union of runtimes, told apart by `type`."""


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host and port that a task may talk to. `*.example.org` stands for every name below example.org."""

    host: HostPattern
    port: Annotated[int, Meta(ge=1, le=65535)] = 443

    def __post_init__(self) -> None:
        check_host(self.host)


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a job needs of the network; without it, it has none.

    `egress` lists all that a task may reach, by way of an HTTP proxy that the node runs outside the sandbox: the usual
    variables (`HTTPS_PROXY` …) name it. Private, link-local and other special addresses are never reached, whatever a
    name resolves to. `egress_bytes` bounds what a task may send and receive together. `ports` is kept for services; no
    node offers any yet.
    """

    egress: Annotated[tuple[Destination, ...], Meta(max_length=limits.EGRESS_DESTINATIONS)] = ()
    egress_bytes: Annotated[int, Meta(ge=1, le=limits.EGRESS_BYTES, extra={"unit": "bytes"})] = limits.GIB
    ports: Annotated[tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(max_length=limits.SERVICE_PORTS)] = ()

    def __post_init__(self) -> None:
        if not self.egress and not self.ports:
            raise ValueError("network names nothing; list hosts in egress, or leave network out")
        if len(set(self.egress)) != len(self.egress) or len(set(self.ports)) != len(self.ports):
            raise ValueError("network names something twice")


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole GPUs, each with at least this much memory."""

    count: Annotated[int, Meta(ge=1, le=limits.GPUS)] = 1
    vram_bytes: Annotated[int, Meta(ge=0, le=limits.MEMORY_BYTES, extra={"unit": "bytes"})] = 0


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one task may use; a node reserves as much and enforces it as a limit."""

    cpu_milli: Annotated[int, Meta(ge=10, le=limits.CPU_MILLI, extra={"unit": "milli_cpu"})] = 1000
    memory_bytes: Annotated[int, Meta(ge=16 * limits.MIB, le=limits.MEMORY_BYTES, extra={"unit": "bytes"})] = (
        512 * limits.MIB
    )
    disk_bytes: Annotated[int, Meta(ge=0, le=limits.DISK_BYTES, extra={"unit": "bytes"})] = limits.GIB
    gpu: Gpu | None = None


class Retries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often an attempt is repeated: `infrastructure` when the node or network failed (not paid), `failures` when
    the job itself failed (each such attempt is paid, and all attempts together never cost more than the cap)."""

    infrastructure: Annotated[int, Meta(ge=0, le=limits.RETRIES)] = 3
    failures: Annotated[int, Meta(ge=0, le=limits.RETRIES)] = 0


class Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Run the job `size` times; each task finds its index (0 … size-1) in the environment variable named here."""

    size: Annotated[int, Meta(ge=1, le=limits.ARRAY_TASKS)]
    index_variable: VariableName = "HYPERNODE_ARRAY_INDEX"


class JobDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job, complete. Two equal documents are the same job with the same content id.

    `cap` bounds what one task may cost, all its attempts together, in µHYPER. `isolation` is the least a node must
    have proved (3: a kernel of its own, as gVisor's or a virtual machine's; 2: every limit of the sandbox proved; 1:
    some not; 0: none, for one's own nodes); nothing falls back silently. `inputs` appear read-only below /in, `outputs`
    names files or patterns below /out (the job's working folder) that are collected: `*` and `?` stay within a name,
    `**` crosses folders, and what names a folder takes what is in it. A name without wildcards must be there when the
    job ends. `network` is what the job needs of it; by default it has none. `labels` are the job's own, to find it by;
    `node_labels` are those that a node must have to run it. `priority` orders the jobs of one project: each step counts
    as much as ten minutes of waiting, and each minute of `timeout_s` twelve seconds against it.
    """

    version: Literal[1]
    runtime: Runtime
    cap: Annotated[int, Meta(ge=0, le=limits.MICRO_HYPER, extra={"unit": "micro_hyper"})]
    name: Name = "job"
    resources: Resources = Resources()
    inputs: Annotated[dict[RelativePath, ArtifactRef], Meta(max_length=limits.INPUTS)] = {}
    outputs: Annotated[tuple[RelativePath, ...], Meta(max_length=limits.OUTPUT_PATTERNS)] = ()
    environment: Annotated[dict[VariableName, VariableValue], Meta(max_length=limits.ENVIRONMENT_VARIABLES)] = {}
    timeout_s: Annotated[int, Meta(ge=1, le=limits.TIMEOUT_S, extra={"unit": "s"})] = 3600
    retries: Retries = Retries()
    isolation: Annotated[int, Meta(ge=0, le=3)] = 2
    array: Array | None = None
    network: Network | None = None
    labels: Annotated[dict[Name, Annotated[str, Meta(max_length=256)]], Meta(max_length=limits.LABELS)] = {}
    node_labels: Annotated[dict[Name, Annotated[str, Meta(max_length=256)]], Meta(max_length=limits.LABELS)] = {}
    priority: Annotated[int, Meta(ge=-limits.PRIORITY, le=limits.PRIORITY)] = 0

    checks_itself: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for path in (*self.inputs, *self.outputs):
            check_path(path)
        names = set(self.inputs)
        for path in self.inputs:
            parts = path.split("/")
            for depth in range(1, len(parts)):
                if "/".join(parts[:depth]) in names:
                    raise ValueError(f"input {path!r} lies below another input")
        match self.runtime:
            case PythonRuntime(script=script) if script is not None and script not in self.inputs:
                raise ValueError(f"runtime.script {script!r} is not among the inputs")
            case WasmRuntime(module=module) if module not in self.inputs:
                raise ValueError(f"runtime.module {module!r} is not among the inputs")
            case WasmRuntime(module=module) if self.inputs[module].size_bytes > limits.WASM_MODULE_BYTES:
                raise ValueError(f"runtime.module {module!r} has more than {limits.WASM_MODULE_BYTES} bytes")
            case WasmRuntime() if self.network is not None:
                raise ValueError("a WebAssembly module has no network; leave network out, or use another runtime")
            case _:
                pass
        if any(
            "\x00" in value for value in (*self.environment.values(), *self.labels.values(), *self.node_labels.values())
        ):
            raise ValueError("environment and label values must not contain NUL characters")

    @property
    def size(self) -> int:
        """Number of tasks."""
        return self.array.size if self.array else 1

    @property
    def cap_per_task(self) -> MicroHyper:
        """The most one task may cost, in µHYPER."""
        return MicroHyper(self.cap)

    @property
    def egress(self) -> bool:
        """Whether its tasks may reach anything."""
        return self.network is not None and bool(self.network.egress)

    @property
    def artifacts(self) -> tuple[ArtifactRef, ...]:
        """Everything a node must fetch to run this job."""
        lock = self.runtime.requirements if isinstance(self.runtime, PythonRuntime) else None
        return (*((lock,) if lock else ()), *self.inputs.values())


def parse(value: Any) -> JobDocument:
    """A document from plain data. Raises InvalidInput with every error and its path."""
    return decode.from_plain(value, JobDocument)


def parse_text(data: bytes) -> JobDocument:
    """A document from JSON or YAML text. Raises InvalidInput, Malformed or TooLarge."""
    return decode.from_yaml(data, JobDocument)


def encode(document: JobDocument) -> bytes:
    """The canonical bytes of a document (RFC 8785)."""
    return canonical(document)


def encode_bounded(document: JobDocument) -> bytes:
    """The same, for a document that is to be kept. Raises TooLarge beyond DOCUMENT_BYTES."""
    return bounded(encode(document))


def bounded(data: bytes) -> bytes:
    """The canonical bytes of a document that is to be kept. Raises TooLarge beyond DOCUMENT_BYTES."""
    if len(data) > limits.DOCUMENT_BYTES:
        raise TooLarge(f"the job document has {len(data)} bytes where at most {limits.DOCUMENT_BYTES} are allowed")
    return data


def decode_canonical(data: bytes) -> JobDocument:
    """A document from bytes that `encode` made."""
    return msgspec.json.decode(data, type=JobDocument)


def identify(document: JobDocument) -> ContentId:
    """The content id of a document."""
    return content_id(encode(document))
