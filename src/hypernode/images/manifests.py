"""What registries say of images: manifests, indexes of them and configurations, as OCI and Docker write them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from hypernode.kernel import limits

INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPTED: Final = (*INDEX_TYPES, *MANIFEST_TYPES)
CONFIG_TYPES: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
LAYER_TYPES: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
ARGUMENTS: Final = 1024
VARIABLES: Final = 1024

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Text = Annotated[str, Meta(max_length=limits.ARGUMENT_CHARS)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=ARGUMENTS)]


class Unusable(Exception):
    """What a registry gave is no image; the message says why. `machine`: it may be one for another machine."""

    def __init__(self, message: str, *, machine: bool = False) -> None:
        super().__init__(message)
        self.machine = machine


class Platform(msgspec.Struct, frozen=True):
    """What a variant of an image runs on, in Go's words."""

    os: str = ""
    architecture: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    """A blob by its digest."""

    digest: Digest
    size: Annotated[int, Meta(ge=0, le=2**53)]
    media_type: str = ""
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename={"media_type": "mediaType", "version": "schemaVersion"}):
    """One image: its configuration and its layers, the lowest first."""

    version: int
    config: Descriptor
    layers: Annotated[tuple[Descriptor, ...], Meta(max_length=limits.IMAGE_LAYERS)]
    media_type: str = MANIFEST_TYPES[0]

    @property
    def size_bytes(self) -> int:
        """Of all layers, as they travel."""
        return sum(layer.size for layer in self.layers)


class Index(msgspec.Struct, frozen=True, rename={"media_type": "mediaType", "version": "schemaVersion"}):
    """Variants of one image for different machines."""

    version: int
    manifests: Annotated[tuple[Descriptor, ...], Meta(max_length=1024)]
    media_type: str = INDEX_TYPES[0]


class Process(msgspec.Struct, frozen=True, rename={"environment": "Env", "folder": "WorkingDir"}):
    """How an image wants to be run."""

    entrypoint: Texts | None = msgspec.field(default=None, name="Entrypoint")
    command: Texts | None = msgspec.field(default=None, name="Cmd")
    environment: Annotated[tuple[Text, ...], Meta(max_length=VARIABLES)] | None = None
    folder: Text | None = None

    def variables(self) -> dict[str, str]:
        """The environment. Entries without a name are dropped."""
        pairs = (entry.partition("=") for entry in self.environment or ())
        return {name: value for name, _, value in pairs if name}

    def check(self) -> None:
        """Raise Unusable for what no program can be started with."""
        texts = (*(self.entrypoint or ()), *(self.command or ()), *(self.environment or ()), self.folder or "")
        if any("\0" in text for text in texts):
            raise Unusable("its configuration contains a NUL character")
        if self.folder and (not self.folder.startswith("/") or ".." in self.folder.split("/")):
            raise Unusable(f"its working folder {self.folder[:100]!r} is not absolute")


class Configuration(msgspec.Struct, frozen=True):
    """The configuration blob of an image."""

    os: str = ""
    architecture: str = ""
    config: Process | None = None


def digest_of(data: bytes) -> str:
    """`sha256:…` of a blob."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def decode(data: bytes) -> Manifest | Index:
    """What a tag or digest stands for. Raises Unusable."""
    shape = _decode(data, _Shape)
    if shape.version != 2:
        raise Unusable("it has a manifest of a form (schema 1) that is no longer in use; push it again")
    if shape.manifests is not None and shape.layers is not None:
        raise Unusable("it claims to be a manifest and an index at once")
    if shape.manifests is not None:
        return _decode(data, Index)
    manifest = _decode(data, Manifest)
    if manifest.media_type not in MANIFEST_TYPES or manifest.config.media_type not in CONFIG_TYPES:
        raise Unusable("it is no container image, but something else that is kept in a registry")
    return manifest


def choose(index: Index, machine: str, operating_system: str = "linux") -> Descriptor:
    """The variant for a machine, as `platform.machine()` names it. Raises Unusable naming the variants there are."""
    architecture, variants = _GO_NAMES.get(machine, (machine, ("",)))
    fitting = [
        (variants.index(place.variant), descriptor)
        for descriptor in index.manifests
        if (place := descriptor.platform) is not None
        and (place.os, place.architecture) == (operating_system, architecture)
        and place.variant in variants
        and descriptor.media_type in MANIFEST_TYPES
    ]
    if not fitting:
        there = sorted({f"{d.platform.os}/{d.platform.architecture}"[:40] for d in index.manifests if d.platform})[:20]
        wanted = f"{operating_system}/{architecture}"
        raise Unusable(f"it has no variant for {wanted}, only for: {', '.join(there)}", machine=True)
    return min(fitting, key=lambda pair: pair[0])[1]


def configuration(data: bytes, machine: str) -> Process:
    """How an image wants to be run on a machine, as `platform.machine()` names it. Raises Unusable."""
    found = _decode(data, Configuration)
    architecture, _ = _GO_NAMES.get(machine, (machine, ("",)))
    if found.os not in ("", "linux") or found.architecture not in ("", architecture):
        raise Unusable(
            f"it is for {found.os[:40]}/{found.architecture[:40]}, not for linux/{architecture}", machine=True
        )
    process = found.config or Process()
    process.check()
    return process


# The best variant first. What is wanted of an image with microarchitecture levels is the one that runs everywhere.
_GO_NAMES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "x86_64": ("amd64", ("", "v1")),
    "AMD64": ("amd64", ("", "v1")),
    "aarch64": ("arm64", ("v8", "")),
    "arm64": ("arm64", ("v8", "")),
    "armv7l": ("arm", ("v7", "v6", "v5", "")),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
    "riscv64": ("riscv64", ("",)),
}


class _Shape(msgspec.Struct, rename={"version": "schemaVersion"}):
    version: int = 0
    manifests: Any = None
    layers: Any = None


_T = TypeVar("_T")


def _decode(data: bytes, kind: type[_T]) -> _T:
    if len(data) > limits.IMAGE_MANIFEST_BYTES:
        raise Unusable(f"its description is larger than {limits.IMAGE_MANIFEST_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"its description cannot be read: {error}") from error
