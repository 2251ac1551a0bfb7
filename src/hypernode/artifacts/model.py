"""Artifacts: bytes named by their SHA-256, uploaded in resumable pieces and downloaded by ranges."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from hypernode.kernel import limits
from hypernode.kernel.canonical import SHA256_PATTERN

Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN, max_length=64)]  # "$" alone would take a final newline


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


class LeaseScope(msgspec.Struct, frozen=True):
    """The attempt a node uploads for."""

    job_id: UUID
    task: int
    epoch: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An announced upload, and for whom. `complete`: its project has the artifact."""

    id: UUID
    project_id: UUID
    sha256: str
    size_bytes: int
    lease: LeaseScope | None
    complete: bool


def view_upload(upload: Upload, offset: int) -> UploadView:
    """What the uploader is told. `offset` counts the bytes stored so far; of a complete upload that is all."""
    return UploadView(
        id=str(upload.id),
        sha256=upload.sha256,
        size_bytes=upload.size_bytes,
        offset=upload.size_bytes if upload.complete else offset,
        complete=upload.complete,
    )
