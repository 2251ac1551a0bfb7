"""The rows of artifacts: who may read which bytes, and the uploads under way. Every function is one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from hypernode.artifacts.model import LeaseScope, Upload
from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql

_queries: Final = load_sql(__package__)
_COUNT_PROJECT_UPLOADS: Final = _queries.count_project_uploads
_DELETE_FINISHED_UPLOAD: Final = _queries.delete_finished_upload
_DELETE_UPLOADS: Final = _queries.delete_uploads
_FIND_GRANTED: Final = _queries.find_granted
_FIND_SAME_LEASE_UPLOAD: Final = _queries.find_same_lease_upload
_FIND_SAME_PROJECT_UPLOAD: Final = _queries.find_same_project_upload
_FIND_UPLOAD: Final = _queries.find_upload
_INSERT_ARTIFACT: Final = _queries.insert_artifact
_INSERT_UPLOAD: Final = _queries.insert_upload
_KNOWN_ARTIFACTS: Final = _queries.known_artifacts
_KNOWN_UPLOADS: Final = _queries.known_uploads
_LIST_OLD_UPLOADS: Final = _queries.list_old_uploads
_SUM_LEASE_UPLOADS: Final = _queries.sum_lease_uploads


async def find_granted(connection: Connection, project_id: UUID, hashes: Iterable[str]) -> dict[str, int]:
    """Sizes of those artifacts that the project may read, by hash."""
    raw = [bytes.fromhex(sha256) for sha256 in hashes]
    rows = await connection.fetch(_FIND_GRANTED, project_id, raw)
    return {row["sha256"].hex(): row["size_bytes"] for row in rows}


async def find_upload(connection: Connection, upload_id: UUID) -> Upload | None:
    """An upload by id."""
    return _upload(await connection.fetchrow(_FIND_UPLOAD, upload_id))


async def find_same_upload(
    connection: Connection, project_id: UUID, sha256: str, size_bytes: int, lease: LeaseScope | None
) -> Upload | None:
    """An upload of the same bytes for the same purpose."""
    about = (project_id, bytes.fromhex(sha256), size_bytes)
    if lease is None:
        return _upload(await connection.fetchrow(_FIND_SAME_PROJECT_UPLOAD, *about))
    row = await connection.fetchrow(_FIND_SAME_LEASE_UPLOAD, *about, lease.job_id, lease.task, lease.epoch)
    return _upload(row)


async def count_project_uploads(connection: Connection, project_id: UUID) -> int:
    """Open uploads of a project itself."""
    return int(await connection.fetchval(_COUNT_PROJECT_UPLOADS, project_id))


async def sum_lease_uploads(connection: Connection, lease: LeaseScope) -> tuple[int, int]:
    """Bytes and number of an attempt's uploads, complete ones included."""
    row = await connection.fetchrow(_SUM_LEASE_UPLOADS, lease.job_id, lease.task, lease.epoch)
    return row["bytes"], row["uploads"]


async def insert_upload(connection: Connection, upload: Upload) -> None:
    """Announce an upload."""
    lease = upload.lease
    await connection.execute(
        _INSERT_UPLOAD,
        upload.id,
        upload.project_id,
        bytes.fromhex(upload.sha256),
        upload.size_bytes,
        lease.job_id if lease else None,
        lease.task if lease else None,
        lease.epoch if lease else None,
    )


async def finish_upload(connection: Connection, upload: Upload) -> None:
    """Record the artifact and that the project may read it, and end the upload. May be repeated."""
    await connection.execute(_INSERT_ARTIFACT, bytes.fromhex(upload.sha256), upload.size_bytes, upload.project_id)
    await connection.execute(_DELETE_FINISHED_UPLOAD, upload.id)


async def delete_uploads(connection: Connection, ids: Sequence[UUID]) -> None:
    """Forget uploads."""
    await connection.execute(_DELETE_UPLOADS, ids)


async def list_old_uploads(connection: Connection, older_than_s: int, after: UUID, limit: int) -> list[UUID]:
    """Uploads begun longer ago than that, by id, after `after`."""
    return [row["id"] for row in await connection.fetch(_LIST_OLD_UPLOADS, float(older_than_s), after, limit)]


async def known_uploads(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that have a row."""
    return {row["id"] for row in await connection.fetch(_KNOWN_UPLOADS, ids)}


async def known_artifacts(connection: Connection, hashes: Sequence[str]) -> set[str]:
    """Those of the hashes that have a row."""
    raw = [bytes.fromhex(sha256) for sha256 in hashes]
    return {row["sha256"].hex() for row in await connection.fetch(_KNOWN_ARTIFACTS, raw)}


def _upload(row: Any) -> Upload | None:
    if row is None:
        return None
    return Upload(
        id=row["id"],
        project_id=row["project_id"],
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        lease=LeaseScope(row["job_id"], row["task"], row["epoch"]) if row["job_id"] else None,
        complete=row["complete"],
    )
