"""From documents that were sent to what can be written: nothing of it holds a database connection for long."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from hypernode.jobs.model import ContainerRuntime, JobDocument, encode
from hypernode.jobs.service.images import Images
from hypernode.jobs.service.submit import Submission, Submissions, Taken, prepare
from hypernode.kernel.errors import CapTooLow, HypernodeError
from hypernode.market.service import Market, refuse_low_cap
from hypernode.tenancy.model import Idempotency


class Asked(msgspec.Struct, frozen=True):
    """A document as it was sent, with its canonical bytes, and the mark of the request that sent it."""

    document: JobDocument
    data: bytes
    idempotency: Idempotency | None


class Intake:
    """Decides what of a request is submitted, and in which form.

    What a request was answered once is not decided again: prices, tags and secrets may have changed since.
    """

    def __init__(self, submissions: Submissions, market: Market, images: Images) -> None:
        self._submissions = submissions
        self._market = market
        self._images = images

    async def ready(
        self, project_id: UUID, asked: Sequence[Asked | HypernodeError]
    ) -> list[Submission | Taken | HypernodeError]:
        """Each in its place: a submission with the digest of its image, the job that the same request made before, or
        why there is neither. An error in place of a document stays."""
        outcomes: list[Asked | Taken | HypernodeError] = list(asked)
        documents = {place: one for place, one in enumerate(asked) if isinstance(one, Asked)}
        too_low = {
            place: refusal
            for place, one in documents.items()
            if (refusal := await self._too_low(one.document)) is not None
        }
        movable = [
            place
            for place, one in documents.items()
            if place in too_low or isinstance(one.document.runtime, ContainerRuntime)
        ]
        if movable:
            before = await self._submissions.earlier(project_id, [documents[place].idempotency for place in movable])
            for place, known in zip(movable, before, strict=True):
                outcomes[place] = known or too_low.get(place) or outcomes[place]
        left = [one.document for one in outcomes if isinstance(one, Asked)]
        pinned = iter(await self._images.pin(project_id, left))
        return [_prepared(project_id, one, next(pinned)) if isinstance(one, Asked) else one for one in outcomes]

    async def _too_low(self, document: JobDocument) -> CapTooLow | None:
        try:
            refuse_low_cap(await self._market.cheapest(document), document)
        except CapTooLow as error:
            return error
        return None


def _prepared(project_id: UUID, asked: Asked, pinned: JobDocument | HypernodeError) -> Submission | HypernodeError:
    if isinstance(pinned, HypernodeError):
        return pinned
    try:
        data = asked.data if pinned is asked.document else encode(pinned)
        return prepare(project_id, pinned, data, asked.idempotency)
    except HypernodeError as error:
        return error
