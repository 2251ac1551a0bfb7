"""Job documents by job id, decoded once: everything that decides about a job needs its document.

A document never changes, so what is known stays right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from hypernode.db.pool import Connection, Pool
from hypernode.jobs.model import JobDocument, decode_canonical
from hypernode.jobs.store import queries
from hypernode.kernel.canonical import ContentId

CACHE_JOBS: Final = 20_000


class KnownJob(msgspec.Struct, frozen=True):
    """A job's document with its canonical bytes and project."""

    project_id: UUID
    data: bytes
    document: JobDocument


class Documents:
    """A bounded cache over the tables of jobs and documents."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, KnownJob] = OrderedDict()
        self._stored: OrderedDict[ContentId, None] = OrderedDict()

    def remember(self, job_id: UUID, known: KnownJob) -> KnownJob:
        """Keep a document that is at hand anyway."""
        self._known[job_id] = known
        if len(self._known) > CACHE_JOBS:
            self._known.popitem(last=False)
        return known

    def is_stored(self, content_id: ContentId) -> bool:
        """Whether the database has this document for certain, so that it need not be written for another job."""
        return content_id in self._stored

    def stored(self, content_ids: Iterable[ContentId]) -> None:
        """These documents are in the database: call it when that is committed. None is ever deleted."""
        for content_id in content_ids:
            self._stored[content_id] = None
            self._stored.move_to_end(content_id)
            if len(self._stored) > CACHE_JOBS:
                self._stored.popitem(last=False)

    def decoded(self, job_id: UUID, project_id: UUID, data: bytes) -> KnownJob:
        """The decoded form of a document that was just read."""
        known = self._known.get(job_id)
        if known is not None:
            self._known.move_to_end(job_id)
            return known
        return self.remember(job_id, KnownJob(project_id, data, decode_canonical(data)))

    async def find(self, connection: Connection | Pool, job_ids: Iterable[UUID]) -> dict[UUID, KnownJob]:
        """Documents of jobs, read in one statement where they are not known."""
        wanted = set(job_ids)
        found = {job_id: self._known[job_id] for job_id in wanted if job_id in self._known}
        missing = [job_id for job_id in wanted if job_id not in found]
        if missing:
            for row in await connection.fetch(queries.find_documents, missing):
                found[row["id"]] = self.decoded(row["id"], row["project_id"], row["document"])
        return found
