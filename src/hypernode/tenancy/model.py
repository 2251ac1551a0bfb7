"""Who is asking: a project by its API key, or a node on behalf of a lease it holds."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

KEY_PREFIX: Final = "hnkey"
"""An API key reads `hnkey_<handle>_<random>`; the handle finds it, the random part proves it."""

ProjectName = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9-]*$(?!\n)")]


class ProjectCaller(msgspec.Struct, frozen=True):
    """A request with a project's API key. Everything it sees and does is within that project."""

    project_id: UUID
    project: str
    key_handle: str


class LeaseCaller(msgspec.Struct, frozen=True):
    """A request of a node with a token for a lease it holds at this moment."""

    project_id: UUID
    job_id: UUID
    task: int
    epoch: int
    node: str
    readable: frozenset[str]
    """SHA-256 (hex) of the artifacts the job document names."""
    writable_bytes: int
    """How much this attempt may upload in all."""


Caller = ProjectCaller | LeaseCaller


class WhoAmI(msgspec.Struct, frozen=True):
    """The project an API key belongs to."""

    project_id: str
    project: str
    key: str
    """The key's handle; the secret part is never shown again."""


class Idempotency(msgspec.Struct, frozen=True):
    """A creating request's key and a fingerprint of what it asked, so that repeating it makes nothing twice."""

    key: str
    fingerprint: bytes
