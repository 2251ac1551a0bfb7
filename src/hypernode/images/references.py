"""Names of container images, as `docker pull` takes them and the OCI distribution specification spells them.

`alpine` is `docker.io/library/alpine:latest`: the short forms stand for Docker Hub, and no tag for `latest`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hypernode.kernel import limits

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_ALIASES: Final = ("index.docker.io", "registry-1.docker.io")  # all three are Docker Hub

# The grammar of github.com/distribution/reference.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_REGISTRY = re.compile(rf"{_DOMAIN}(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Reference(NamedTuple):
    """One image, by name and by tag or digest or both."""

    registry: str
    """Host, with a port where it isn't the usual one: `docker.io`, `127.0.0.1:5000`."""
    repository: str
    tag: str
    """Empty where there is only a digest."""
    digest: str
    """`sha256:…` of the manifest; empty where it is not known yet."""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def pinned(self) -> str:
        """`registry/repository@sha256:…`, which no tag can change. Raises ValueError without a digest."""
        if not self.digest:
            raise ValueError(f"{self} has no digest")
        return f"{self.registry}/{self.repository}@{self.digest}"


def parse(text: str) -> Reference:
    """Raise ValueError for what is no image name."""
    if len(text) > limits.IMAGE_NAME_CHARS:
        raise ValueError(f"an image name has at most {limits.IMAGE_NAME_CHARS} characters")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{text!r}: what follows '@' must be sha256: and 64 hexadecimal digits")
    first, slash, path = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first.lower(), path
        registry = DEFAULT_REGISTRY if registry in _ALIASES else registry
    else:
        registry = DEFAULT_REGISTRY
    repository, colon, tag = rest.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not is_registry(registry):
        raise ValueError(f"{text!r}: {registry!r} is not a registry's host")
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"{text!r} is not the name of an image, such as python:3.11-slim or ghcr.io/owner/name:tag")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(f"{text!r}: {tag!r} is not a tag")
    if not tag and not digest:
        tag = DEFAULT_TAG
    return Reference(registry, repository, tag, digest)


def is_registry(text: str) -> bool:
    """Whether this is a registry as it stands in front of an image's name: a host, perhaps with a port."""
    port = text.rpartition("]")[2].rpartition(":")[2] if ":" in text.rpartition("]")[2] else "443"
    return len(text) <= 255 and _REGISTRY.fullmatch(text) is not None and 0 < int(port) < 1 << 16


def check(text: str) -> None:
    """Raise ValueError for what is no image name."""
    parse(text)
