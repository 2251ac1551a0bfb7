"""What the handlers of governance share."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, SkipValidation

from hypernode.governance.service.governance import Governance
from hypernode.httpapi import fingerprint, problems
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import check_idempotency_key

Room: TypeAlias = NamedDependency[SkipValidation[Governance]]
StakeId: TypeAlias = Annotated[UUID, PathParameter(description="The stake's `id`.")]
ProposalId: TypeAlias = Annotated[UUID, PathParameter(description="The proposal's `id`.")]
CaseId: TypeAlias = Annotated[UUID, PathParameter(description="The case's `id`.")]

BROKE = "The project cannot pay for it."
REPEATED = "The Idempotency-Key came with another request before."
WRONG = "The request has errors."
LARGE = "The body is too large."
KEY = "The Idempotency-Key cannot be kept."


def refusals(**meaning: str) -> dict[int, ResponseSpec]:
    """The OpenAPI responses of what an act refuses: `problems`, and that acts come one after another."""
    return problems(s429="Too many acts of the project wait for their turn.", **meaning)


def idempotency_of(key: str | None, act: str, subject: UUID | None = None, request: Any = None) -> Idempotency | None:
    """What makes an act repeatable: the key, and a fingerprint of what is asked."""
    body = b"" if request is None else msgspec.json.encode(request, order="deterministic")
    return check_idempotency_key(key, fingerprint(act.encode(), subject.bytes if subject else b"", body))
