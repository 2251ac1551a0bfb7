"""The one error tree.

    HypernodeError
    ├── InvalidInput          the caller sent something that cannot be right
    │   ├── Malformed         … that cannot even be decoded
    │   ├── TooLarge
    │   ├── HashMismatch
    │   ├── CapTooLow
    │   ├── RangeNotSatisfiable
    │   ├── ImageNotFound
    │   ├── ImageDenied
    │   ├── ImageInvalid
    │   ├── RegistryNotAllowed
    │   ├── SecretUnknown
    │   ├── SecretMismatch
    │   ├── ParameterOutOfBounds
    │   └── StakeRefused
    ├── Refused               the caller may not, or not now
    │   ├── Unauthenticated
    │   ├── Forbidden
    │   ├── BadSignature
    │   ├── JoinTokenInvalid
    │   ├── InsufficientFunds
    │   ├── NotFound
    │   ├── NotOnPanel
    │   ├── NoWeight
    │   ├── ProposalKindUnavailable
    │   ├── SupplyExhausted
    │   ├── WeightTooLow
    │   └── WrongReveal
    ├── Conflict              right in itself, but the state has moved on
    │   ├── AlreadyCommitted
    │   ├── AlreadyVoted
    │   ├── CaseStateWrong
    │   ├── FundTooSmall
    │   ├── IdempotencyMismatch
    │   ├── JobEnded
    │   ├── NobodyStakes
    │   ├── NothingToClaim
    │   ├── OffsetMismatch
    │   ├── ProposalStateWrong
    │   ├── SecretUnreadable
    │   ├── StakeCooling
    │   ├── StakeFrozen
    │   ├── StakeStateWrong
    │   ├── StaleLease
    │   ├── TooEarly
    │   ├── TooLate
    │   └── UnlockNotDue
    ├── Unavailable           nobody's fault that repeating later would not mend
    │   ├── Overloaded
    │   └── RegistryUnreachable
    └── InternalError
        └── InvariantViolated our own fault, found before it could do harm

Each class has a stable `code` (part of the interface: never renamed), the HTTP `status` it travels with, whether
repeating the same request may help (`retryable`), and a docstring that is the message its reader gets as title.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field. `path` is a JSONPath such as `$.resources.memory_bytes`."""

    path: str
    message: str


class HypernodeError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.extra = dict(extra or {})

    @property
    def title(self) -> str:
        """The first line of the class's docstring: what this kind of error means."""
        return inspect.cleandoc(type(self).__doc__ or "").split("\n", 1)[0]

    def __str__(self) -> str:
        lines = [self.detail or self.title]
        lines += [f"  {error.path}: {error.message}" for error in self.errors]
        return "\n".join(lines)


class InvalidInput(HypernodeError):
    """The request is not valid."""

    code = "input.invalid"
    status = 422


class Malformed(InvalidInput):
    """The request could not be decoded."""

    code = "input.malformed"
    status = 400


class TooLarge(InvalidInput):
    """The request is larger than allowed."""

    code = "input.too_large"
    status = 413


class HashMismatch(InvalidInput):
    """The bytes do not have the SHA-256 that was announced."""

    code = "artifact.hash_mismatch"


class CapTooLow(InvalidInput):
    """The price cap is lower than the worst-case price on every node that could run the job."""

    code = "market.cap_too_low"


class RangeNotSatisfiable(InvalidInput):
    """The requested byte range lies outside the artifact."""

    code = "artifact.range"
    status = 416


class ImageNotFound(InvalidInput):
    """The registry has no such image, or shows it only to those who log in."""

    code = "image.not_found"


class ImageDenied(InvalidInput):
    """The registry wants other credentials for this image."""

    code = "image.denied"


class ImageInvalid(InvalidInput):
    """What the registry gives under this name is no image that could be run."""

    code = "image.invalid"


class RegistryNotAllowed(InvalidInput):
    """The coordinator does not ask this registry: it has no public address, and the operator has not named it."""

    code = "image.registry_not_allowed"


class SecretUnknown(InvalidInput):
    """The job names a secret that its project does not have."""

    code = "secret.unknown"


class SecretMismatch(InvalidInput):
    """The secret that the job names is for another registry than its image's."""

    code = "secret.wrong_registry"


class ParameterOutOfBounds(InvalidInput):
    """A governance parameter is unknown, or its value lies outside the bounds that no vote can cross."""

    code = "parameter.out_of_bounds"


class StakeRefused(InvalidInput):
    """The stake would be smaller, shorter or longer than stakes may be."""

    code = "stake.refused"


class Refused(HypernodeError):
    """The request is refused."""

    code = "refused"
    status = 403


class Unauthenticated(Refused):
    """A valid API key is required."""

    code = "auth.required"
    status = 401


class Forbidden(Refused):
    """This identity may not do that."""

    code = "auth.forbidden"


class BadSignature(Refused):
    """The signature does not belong to this message and key."""

    code = "signature.invalid"
    status = 401


class JoinTokenInvalid(Refused):
    """The join token is unknown, expired or already used; ask for a new one."""

    code = "node.join_token_invalid"


class InsufficientFunds(Refused):
    """The project's available balance does not cover this."""

    code = "ledger.insufficient_funds"
    status = 402


class NotFound(Refused):
    """There is no such thing in this project."""

    code = "not_found"
    status = 404


class NotOnPanel(Refused):
    """This project was not drawn to judge the case."""

    code = "case.not_on_panel"


class NoWeight(Refused):
    """The stake has no weight in this vote."""

    code = "proposal.no_weight"


class ProposalKindUnavailable(Refused):
    """This network cannot carry out proposals of this kind."""

    code = "proposal.kind_unavailable"


class SupplyExhausted(Refused):
    """There would be more HYPER than there can be."""

    code = "ledger.supply_exhausted"


class WeightTooLow(Refused):
    """The stake has too little weight to propose."""

    code = "proposal.weight_too_low"


class WrongReveal(Refused):
    """The vote is not the one that was committed to."""

    code = "case.wrong_reveal"


class Conflict(HypernodeError):
    """The request conflicts with the present state."""

    code = "conflict"
    status = 409


class AlreadyCommitted(Conflict):
    """A vote on this case was committed before, and cannot be changed."""

    code = "case.committed"


class AlreadyVoted(Conflict):
    """The stake has voted on this proposal before."""

    code = "proposal.voted"


class CaseStateWrong(Conflict):
    """The case is in another state."""

    code = "case.state"


class FundTooSmall(Conflict):
    """The fund does not hold what is to be paid from it."""

    code = "fund.too_small"


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency.mismatch"


class JobEnded(Conflict):
    """The job has already ended."""

    code = "job.ended"


class NobodyStakes(Conflict):
    """There is no stake with weight."""

    code = "stake.none"


class NothingToClaim(Conflict):
    """The stake has earned nothing that was not claimed yet."""

    code = "reward.nothing"


class OffsetMismatch(Conflict):
    """The bytes do not continue where the stored ones end; ask for the present offset and go on from there."""

    code = "offset.mismatch"


class ProposalStateWrong(Conflict):
    """The proposal is in another state."""

    code = "proposal.state"


class SecretUnreadable(Conflict):
    """The secret was sealed with a key that the coordinator no longer has; set it again."""

    code = "secret.unreadable"


class StakeCooling(Conflict):
    """The cooldown of the stake is not over yet."""

    code = "stake.cooling"


class StakeFrozen(Conflict):
    """The stake is under report; wait until the case ends."""

    code = "stake.frozen"


class StakeStateWrong(Conflict):
    """The stake is in another state."""

    code = "stake.state"


class StaleLease(Conflict):
    """The lease is no longer held: a newer epoch exists or the attempt has ended."""

    code = "lease.stale"


class TooEarly(Conflict):
    """It is not time for this yet."""

    code = "governance.too_early"


class TooLate(Conflict):
    """The time for this is over."""

    code = "governance.too_late"


class UnlockNotDue(Conflict):
    """No unlock is due."""

    code = "unlock.not_due"


class Unavailable(HypernodeError):
    """The service cannot answer just now; repeating later may help."""

    code = "server.unavailable"
    status = 503
    retryable = True


class Overloaded(Unavailable):
    """Too much is asked at once; slow down and repeat."""

    code = "server.overloaded"
    status = 429


class RegistryUnreachable(Unavailable):
    """The image's registry cannot be asked, or did not answer as registries do."""

    code = "image.registry_unreachable"
    status = 502


class InternalError(HypernodeError):
    """The server made a mistake; it has been logged."""

    code = "server.error"


class InvariantViolated(InternalError):
    """An invariant did not hold; nothing was written."""

    code = "server.invariant"


def _tree(root: type[HypernodeError]) -> dict[str, type[HypernodeError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: Mapping[str, type[HypernodeError]] = _tree(HypernodeError)
"""Every error class of this tree by its code, for turning a problem document back into an exception."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document (`application/problem+json`)."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    instance: str | None = None
    errors: tuple[FieldError, ...] = ()
    retryable: bool = False
    extra: dict[str, Any] = {}


def problem_of(error: HypernodeError, instance: str | None = None) -> Problem:
    """The problem document that tells a caller about `error`."""
    return Problem(
        type=f"urn:hypernode:problem:{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        instance=instance,
        errors=error.errors,
        retryable=error.retryable,
        extra=error.extra,
    )


def error_of(problem: Problem, retry_after_s: int | None = None) -> HypernodeError:
    """The exception a problem document stands for; an unknown code becomes the class nearest to its status."""
    kind = BY_CODE.get(problem.code)
    if kind is None:
        kind = InternalError if problem.status >= 500 else Refused
    return kind(problem.detail, errors=problem.errors, retry_after_s=retry_after_s, extra=problem.extra)
