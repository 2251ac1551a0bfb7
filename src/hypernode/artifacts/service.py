"""Uploading, downloading and requiring artifacts.

Knowing a hash gives no access. A project may read what it holds a grant for: bytes it sent itself, or that a node
sent as output of its job. Bytes that are stored for somebody else must be sent again to prove that one has them, and
are then stored once for both.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from hypernode.artifacts import store
from hypernode.artifacts.filestore import FileStore
from hypernode.artifacts.model import LeaseScope, Upload, UploadRequest, UploadView, view_upload
from hypernode.artifacts.ranges import ByteRange
from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits
from hypernode.kernel.errors import (
    FieldError,
    HashMismatch,
    InvalidInput,
    InvariantViolated,
    NotFound,
    OffsetMismatch,
    Overloaded,
    TooLarge,
)
from hypernode.kernel.ids import uuid7

ORPHAN_S: Final = 3600
"""A stored file without a row is left alone for this long: its row may be on its way."""
_ERRORS: Final = 100
_FINISHED: Final = 10_000
_PAGE: Final = 1000


class StoredArtifact(msgspec.Struct, frozen=True):
    """An artifact that may be read: its size, and its bytes by `read`."""

    sha256: str
    size_bytes: int
    files: FileStore

    def read(self, part: ByteRange | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of a range, or all, in chunks of at most CHUNK_BYTES."""
        return self.files.read(self.sha256, part or ByteRange(0, self.size_bytes))


class ArtifactService:
    """The use cases of artifacts. `lease` is given when a node asks; its uploads and a project's never mix."""

    def __init__(self, pool: Pool, files: FileStore) -> None:
        self._pool = pool
        self._files = files
        self._starting: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        # Rows end with their uploads. Remembering the last ones spares a client whose answer was lost a new start.
        self._finished: OrderedDict[UUID, Upload] = OrderedDict()

    async def start_upload(
        self, project_id: UUID, request: UploadRequest, *, lease: LeaseScope | None = None, writable_bytes: int = 0
    ) -> UploadView:
        """Announce bytes. Starting the same again while it is open gives the open upload, so a repeat makes nothing.

        Complete at once if the project has these bytes already (the id then stands for nothing) or if there are none
        to send. An attempt may announce `writable_bytes` in OUTPUT_FILES uploads, all its uploads counted.

        Raises HashMismatch if the project has the artifact in another size, TooLarge beyond an attempt's bytes,
        Overloaded when a project has too many uploads open.
        """
        # Counting and inserting must not interleave; uploads of a project come through one process at a time.
        async with self._starting.setdefault(project_id, asyncio.Lock()), self._pool.acquire() as connection:
            upload = await self._announce(connection, project_id, request, lease, writable_bytes)
        if upload.complete:
            return view_upload(upload, upload.size_bytes)
        if upload.size_bytes == 0:
            return await self._append(upload, 0, _chunks())
        return view_upload(upload, self._files.offset(upload.id))

    async def _announce(
        self,
        connection: Connection,
        project_id: UUID,
        request: UploadRequest,
        lease: LeaseScope | None,
        writable_bytes: int,
    ) -> Upload:
        size_bytes = request.size_bytes
        has = (await store.find_granted(connection, project_id, [request.sha256])).get(request.sha256)
        if has not in (None, size_bytes):
            raise HashMismatch(f"the artifact with this SHA-256 has {has} bytes, not {size_bytes}")
        upload = Upload(
            id=uuid7(),
            project_id=project_id,
            sha256=request.sha256,
            size_bytes=size_bytes,
            lease=lease,
            complete=has is not None,
        )
        if upload.complete:
            return upload
        same = await store.find_same_upload(connection, project_id, request.sha256, size_bytes, lease)
        if same is not None:
            return same
        if lease is None:
            if await store.count_project_uploads(connection, project_id) >= limits.UPLOADS_PER_PROJECT:
                raise Overloaded(f"more than {limits.UPLOADS_PER_PROJECT} uploads are open; finish or delete some")
        else:
            sent, count = await store.sum_lease_uploads(connection, lease)
            if sent + size_bytes > writable_bytes:
                raise TooLarge(f"the attempt may upload {writable_bytes} bytes, {sent} of them are announced already")
            if count >= limits.OUTPUT_FILES:
                raise TooLarge(f"the attempt has {count} uploads, and may have no more")
        await store.insert_upload(connection, upload)
        return upload

    async def upload_status(self, upload_id: UUID, project_id: UUID, lease: LeaseScope | None = None) -> UploadView:
        """Where an upload stands. An upload with all its bytes that is not complete wants one more, empty, append.

        Raises NotFound for unknown, foreign and deleted ones, and some time after they are complete.
        """
        upload = await self._find(upload_id, project_id, lease)
        return view_upload(upload, min(self._files.offset(upload_id), upload.size_bytes))

    async def append(
        self,
        upload_id: UUID,
        project_id: UUID,
        offset: int,
        chunks: AsyncIterator[bytes],
        *,
        lease: LeaseScope | None = None,
        body_bytes: int | None = None,
    ) -> UploadView:
        """Add bytes at `offset`; with the last of them the artifact is checked, stored and granted.

        `body_bytes`, if known, lets an oversized body be refused unread. Raises NotFound, OffsetMismatch, TooLarge,
        Conflict (another request took over), HashMismatch (the upload is gone) and Unavailable (disk full).
        """
        upload = await self._find(upload_id, project_id, lease)
        if upload.complete:
            if offset == upload.size_bytes:
                return view_upload(upload, offset)
            raise OffsetMismatch("the upload is complete", extra={"offset": upload.size_bytes})
        if body_bytes is not None and offset + body_bytes > upload.size_bytes:
            raise TooLarge(f"{body_bytes} bytes at {offset} go beyond the {upload.size_bytes} announced")
        return await self._append(upload, offset, chunks)

    async def _append(self, upload: Upload, offset: int, chunks: AsyncIterator[bytes]) -> UploadView:
        try:
            end = await self._files.append(
                upload.id, offset, chunks, sha256=upload.sha256, size_bytes=upload.size_bytes
            )
        except HashMismatch:
            await store.delete_uploads(self._pool, [upload.id])
            raise
        if end < upload.size_bytes:
            return view_upload(upload, end)

        async def work(connection: Connection) -> None:
            await store.finish_upload(connection, upload)

        await run_transaction(self._pool, work, idempotent=True)
        done = msgspec.structs.replace(upload, complete=True)
        self._finished[done.id] = done
        if len(self._finished) > _FINISHED:
            self._finished.popitem(last=False)
        return view_upload(done, end)

    async def delete_upload(self, upload_id: UUID, project_id: UUID, lease: LeaseScope | None = None) -> None:
        """Give an upload up. An artifact it has become stays. Raises NotFound.

        An attempt's upload still counts towards what it may write: else it could fill the disk by starting over.
        """
        upload = await self._find(upload_id, project_id, lease)
        self._finished.pop(upload_id, None)
        if lease is None:
            await store.delete_uploads(self._pool, [upload.id])
        await self._files.discard(upload.id)

    async def _find(self, upload_id: UUID, project_id: UUID, lease: LeaseScope | None) -> Upload:
        upload = await store.find_upload(self._pool, upload_id) or self._finished.get(upload_id)
        if upload is None or upload.project_id != project_id or upload.lease != lease:
            raise NotFound("there is no such upload; start it again to learn whether its bytes are stored")
        return upload

    async def open_artifact(self, project_id: UUID, sha256: str) -> StoredArtifact:
        """An artifact of the project. Raises NotFound, also when only others have it."""
        size_bytes = (await store.find_granted(self._pool, project_id, [sha256])).get(sha256)
        if size_bytes is None:
            raise NotFound("there is no such artifact in this project")
        if self._files.size(sha256) != size_bytes:
            raise InvariantViolated(f"the file of artifact {sha256} is missing or has another size")
        return StoredArtifact(sha256, size_bytes, self._files)

    async def require(self, project_id: UUID, refs: Iterable[ArtifactRef], paths: Sequence[str] | None = None) -> None:
        """Make sure that the project has all of these artifacts, in one statement however many they are.

        Raises InvalidInput that names those which are missing or have another size; `paths` says where each ref
        stands in what the caller sent, by default its hash is named.
        """
        async with self._pool.acquire() as connection:
            await self.require_within(connection, project_id, refs, paths)

    async def require_within(
        self, connection: Connection, project_id: UUID, refs: Iterable[ArtifactRef], paths: Sequence[str] | None = None
    ) -> None:
        """`require` on an open connection, within its transaction."""
        wanted = list(refs)
        if not wanted:
            return
        names = paths if paths is not None else [ref.sha256 for ref in wanted]
        has = await store.find_granted(connection, project_id, {ref.sha256 for ref in wanted})
        errors = []
        for name, ref in zip(names, wanted, strict=True):
            size_bytes = has.get(ref.sha256)
            if size_bytes is None:
                errors.append(FieldError(name, f"artifact {ref.sha256} is not in this project; upload it first"))
            elif size_bytes != ref.size_bytes:
                errors.append(FieldError(name, f"the artifact has {size_bytes} bytes, not {ref.size_bytes}"))
        if errors:
            raise InvalidInput("not all artifacts are there", errors=errors[:_ERRORS])

    async def held_within(self, connection: Connection, project_id: UUID, hashes: Collection[str]) -> dict[str, int]:
        """Sizes of those of these artifacts that the project has, on an open connection."""
        return await store.find_granted(connection, project_id, hashes)

    async def sweep(self, *, idle_s: int = limits.UPLOAD_IDLE_S) -> int:
        """Delete uploads to which nothing was added for `idle_s` seconds. Returns how many."""
        after, deleted = UUID(int=0), 0
        while page := await store.list_old_uploads(self._pool, idle_s, after, _PAGE):
            after = page[-1]
            idle = [one for one in page if not self._files.is_receiving(one) and self._files.idle_s(one) >= idle_s]
            await store.delete_uploads(self._pool, idle)
            for upload_id in idle:
                await self._files.discard(upload_id)
            deleted += len(idle)
        return deleted

    async def recover(self, *, orphan_s: float = ORPHAN_S) -> int:
        """Delete files that no row names: what a crash left between the disk and the database. Returns how many."""
        deleted = 0
        # Rows of uploads are written before their files, so the files must be listed first.
        ids = await self._files.upload_ids()
        for start in range(0, len(ids), _PAGE):
            known_ids = await store.known_uploads(self._pool, ids[start : start + _PAGE])
            for upload_id in set(ids[start : start + _PAGE]) - known_ids:
                await self._files.discard(upload_id)
                deleted += 1
        hashes = await self._files.artifact_hashes(older_than_s=orphan_s)
        for start in range(0, len(hashes), _PAGE):
            known = await store.known_artifacts(self._pool, hashes[start : start + _PAGE])
            for sha256 in set(hashes[start : start + _PAGE]) - known:
                await self._files.delete_artifact(sha256)
                deleted += 1
        return deleted


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
