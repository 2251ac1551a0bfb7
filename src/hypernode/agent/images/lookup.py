"""What a pinned name stands for on this machine: its manifest, looked at before anything is fetched."""

from __future__ import annotations

import hashlib
import platform
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.sandboxes.base import ImageError, Login
from hypernode.images import manifests
from hypernode.images.manifests import Index, Manifest, Unusable
from hypernode.images.reach import Reach, Unreachable
from hypernode.images.references import Reference
from hypernode.kernel import limits

_SALT: Final = secrets.token_bytes(32)

Fetch = Callable[[Reference], Awaitable[bytes]]
"""Gets the manifest of a pinned name, not checked yet, or raises ImageError."""


class Found(msgspec.Struct, frozen=True):
    """An image that a registry has for us."""

    reference: Reference
    """By the digest of the manifest itself, not of an index."""
    manifest: Manifest


async def ask(name: Reference, fetch: Fetch, reach: Reach, most_bytes: int) -> Found:
    """Ask the registry of a pinned name. That it answers is the proof that whoever asks may have the image.

    Layers of more than `most_bytes` are refused. Raises ImageError.
    """
    await _check_reach(name, reach)
    document = await _manifest(name, fetch)
    try:
        if isinstance(document, Index):
            name = name._replace(digest=manifests.choose(document, platform.machine()).digest)
            document = await _manifest(name, fetch)
            if isinstance(document, Index):
                raise Unusable("its index leads to another index")
        odd = next((layer.media_type for layer in document.layers if layer.media_type not in manifests.LAYER_TYPES), "")
        if odd:
            raise Unusable(f"a layer is of the kind {odd[:100]!r}; what can be unpacked is gzip and plain tar")
    except Unusable as error:
        raise _unsupported(name, error) from error
    size = document.size_bytes
    if size > most_bytes or document.config.size > limits.IMAGE_MANIFEST_BYTES:
        raise ImageError("image.too_large", f"its layers have {size} bytes, and this node takes {most_bytes}")
    return Found(name, document)


def process(layout: Path, name: Reference) -> manifests.Process:
    """How the image in a layout wants to be run. skopeo wrote the layout and checked the blobs. Raises ImageError."""
    try:
        index = msgspec.json.decode((layout / "index.json").read_bytes(), type=Index)
        manifest = manifests.decode(_blob(layout, index.manifests[0].digest))
        if not isinstance(manifest, Manifest):
            raise Unusable("it leads to an index")
        return manifests.configuration(_blob(layout, manifest.config.digest), platform.machine())
    except (OSError, msgspec.DecodeError, IndexError) as error:
        raise ImageError("image.failed", f"skopeo left no layout: {error}") from error
    except Unusable as error:
        raise _unsupported(name, error) from error


def fingerprint(login: Login | None) -> bytes:
    """What tells logins apart without being one: another in every process, and empty for none."""
    if login is None:
        return b""
    return hashlib.blake2b(msgspec.json.encode((login.username, login.password)), key=_SALT).digest()


async def _manifest(name: Reference, fetch: Fetch) -> Manifest | Index:
    data = await fetch(name)
    if manifests.digest_of(data) != name.digest:
        raise ImageError("image.tampered", f"{name.registry} gave something else than what the digest names")
    try:
        return manifests.decode(data)
    except Unusable as error:
        raise _unsupported(name, error) from error


async def _check_reach(name: Reference, reach: Reach) -> None:
    """Jobs name registries, but not those in the operator's own network. A name that leads nowhere is left to skopeo,
    which may know a mirror of it."""
    _, host, port = reach.address(name.registry)
    try:
        await reach.addresses(host, port)
    except Unreachable as error:
        if error.private:
            said = f"{name.registry} is in the node's own network, which its operator has not opened to images"
            raise ImageError("image.denied", said) from error


def _blob(layout: Path, digest: str) -> bytes:
    path = layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
    if path.stat().st_size > limits.IMAGE_MANIFEST_BYTES:
        raise Unusable(f"its description is larger than {limits.IMAGE_MANIFEST_BYTES} bytes")
    return path.read_bytes()


def _unsupported(name: Reference, error: Unusable) -> ImageError:
    return ImageError("image.unsupported", f"{name.pinned}: {error}", job_fault=not error.machine)
