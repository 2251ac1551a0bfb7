"""Artifacts: bytes named by their SHA-256, uploaded in resumable pieces and downloaded by ranges."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from hypernode.kernel import limits
from hypernode.kernel.canonical import SHA256_PATTERN

Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN)]


class UploadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Announce bytes by hash and size."""

    sha256: Sha256
    size_bytes: Annotated[int, Meta(ge=0, le=limits.ARTIFACT_BYTES)]


class UploadView(msgspec.Struct, frozen=True, kw_only=True):
    """An upload. Send the bytes from `offset` on; when `complete`, they are stored and their hash was right."""

    id: str
    sha256: str
    size_bytes: int
    offset: int
    complete: bool


class ArtifactView(msgspec.Struct, frozen=True):
    """A stored artifact."""

    sha256: str
    size_bytes: int
