"""From documents that were sent to what can be written: nothing of it holds a database connection for long."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypernode.jobs.model import ContainerRuntime, JobDocument
from hypernode.jobs.service.images import Images
from hypernode.jobs.service.submit import Submission, Submissions, Taken, prepare
from hypernode.kernel.errors import CapTooLow, HypernodeError
from hypernode.market.service import Market, refuse_low_cap
from hypernode.tenancy.model import Idempotency


class Intake:
    """Decides what of a request is submitted, and in which form.

    What a request was answered once is not decided again: prices, tags and secrets may have changed since.
    """

    def __init__(self, submissions: Submissions, market: Market, images: Images) -> None:
        self._submissions = submissions
        self._market = market
        self._images = images

    async def ready(
        self,
        project_id: UUID,
        documents: Sequence[JobDocument | HypernodeError],
        idempotencies: Sequence[Idempotency | None],
    ) -> list[Submission | Taken | HypernodeError]:
        """Each in its place: a submission with the digest of its image, the job that the same request made before, or
        why there is neither. An error in place of a document stays."""
        outcomes: list[JobDocument | Taken | HypernodeError] = list(documents)
        too_low = {
            place: refusal
            for place, one in enumerate(documents)
            if isinstance(one, JobDocument) and (refusal := await self._too_low(one)) is not None
        }
        movable = [
            place
            for place, one in enumerate(documents)
            if isinstance(one, JobDocument) and (place in too_low or isinstance(one.runtime, ContainerRuntime))
        ]
        if movable:
            before = await self._submissions.earlier(project_id, [idempotencies[place] for place in movable])
            for place, known in zip(movable, before, strict=True):
                outcomes[place] = known or too_low.get(place) or outcomes[place]
        left = {place: one for place, one in enumerate(outcomes) if isinstance(one, JobDocument)}
        for place, pinned in zip(left, await self._images.pin(project_id, list(left.values())), strict=True):
            outcomes[place] = pinned
        return [
            _prepared(project_id, one, idempotency) if isinstance(one, JobDocument) else one
            for one, idempotency in zip(outcomes, idempotencies, strict=True)
        ]

    async def _too_low(self, document: JobDocument) -> CapTooLow | None:
        try:
            refuse_low_cap(await self._market.cheapest(document), document)
        except CapTooLow as error:
            return error
        return None


def _prepared(project_id: UUID, document: JobDocument, idempotency: Idempotency | None) -> Submission | HypernodeError:
    try:
        return prepare(project_id, document, idempotency)
    except HypernodeError as error:
        return error
