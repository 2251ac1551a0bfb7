"""HTTP for artifacts: resumable uploads, ranged downloads.

Handlers take who is asking as the injected dependency `caller`. A project sees its own uploads and artifacts; a node
sees the uploads of the very attempt its token is for, and may read what that attempt's job names.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, head, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import InternalServerException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, SkipValidation
from litestar.response import Stream

from hypernode.artifacts.model import LeaseScope, UploadRequest, UploadView
from hypernode.artifacts.ranges import parse_range
from hypernode.artifacts.service import ArtifactService, StoredArtifact
from hypernode.httpapi import Decoded, problems
from hypernode.kernel import limits
from hypernode.kernel.canonical import SHA256_PATTERN
from hypernode.kernel.errors import NotFound
from hypernode.tenancy.model import Caller, LeaseCaller

BYTES: Final = "application/octet-stream"

Who: TypeAlias = NamedDependency[SkipValidation[Caller]]
Artifacts: TypeAlias = NamedDependency[SkipValidation[ArtifactService]]
UploadId: TypeAlias = Annotated[UUID, PathParameter(description="The `id` of the upload.")]
Hash: TypeAlias = Annotated[
    str, PathParameter(pattern=SHA256_PATTERN, max_length=64, description="SHA-256 of the bytes, in hex.")
]
RangeHeader: TypeAlias = Annotated[
    str | None, HeaderParameter(name="Range", required=False, description="One range, such as `bytes=0-99`.")
]
IfRange: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-Range", required=False, description="The ETag the range is meant for.")
]
IfNoneMatch: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-None-Match", required=False, description="An ETag one has already.")
]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        max_length=limits.IDEMPOTENCY_KEY_CHARS,
        description="Accepted and not needed: starting the same upload again gives the one that is open.",
    ),
]
Offset: TypeAlias = Annotated[
    int,
    HeaderParameter(
        name="Upload-Offset", ge=0, le=limits.ARTIFACT_BYTES, description="Where the body begins: the present offset."
    ),
]


_problems: Final = functools.partial(problems, s401="No valid API key or lease token.")
_UPLOAD_GONE: Final = "No such upload of this caller, or it was finished or deleted a while ago."
_NO_ARTIFACT: Final = "No such artifact for this caller. Knowing a hash gives no access."


class UploadController(Controller):
    """Uploads: announce, send in pieces, resume."""

    path = "/uploads"
    tags = ["artifacts"]  # noqa: RUF012  as Litestar declares it

    @post(
        summary="Announce an artifact",
        dto=Decoded[UploadRequest],
        return_dto=None,
        description="Announces bytes by hash and size. `complete` says that they are stored already and nothing is to "
        "be sent; else send them with PATCH from `offset` on. Announcing the same again gives the open upload.",
        responses=_problems(
            s413="More than the attempt may write.",
            s422="The project has this hash in another size, or the hash of zero bytes is wrong.",
            s429="Too many uploads are open.",
        ),
    )
    async def start_upload(
        self, data: JSONBody[UploadRequest], caller: Who, artifacts: Artifacts, idempotency_key: IdempotencyKey = None
    ) -> UploadView:
        """Announce an artifact."""
        writable_bytes = caller.writable_bytes if isinstance(caller, LeaseCaller) else 0
        return await artifacts.start_upload(
            caller.project_id, data, lease=_lease(caller), writable_bytes=writable_bytes
        )

    @get("/{upload_id:uuid}", summary="Where an upload stands", responses=_problems(s404=_UPLOAD_GONE))
    async def get_upload(self, upload_id: UploadId, caller: Who, artifacts: Artifacts) -> UploadView:
        """Where an upload stands: ask after a broken connection, and go on from `offset`."""
        return await artifacts.upload_status(upload_id, caller.project_id, _lease(caller))

    @patch(
        "/{upload_id:uuid}",
        summary="Send bytes of an upload",
        description="The body is the bytes from `Upload-Offset` on, as they are. It may hold any part of what is "
        "missing; what arrives of a body that breaks off is kept. Bytes are on the disk when this answers. With the "
        "last of them the hash is checked and the artifact stored; if that answer was lost, the same request with an "
        "empty body at the end gives it again. A second request at the present offset takes over from the first.",
        request_max_body_size=None,  # bounded by the size announced, chunk by chunk
        responses=_problems(
            s404=_UPLOAD_GONE,
            s409="The bytes do not continue at the present offset (`extra.offset`), or another request took over.",
            s413="More bytes than announced.",
            s422="The bytes have another SHA-256 than announced; the upload was deleted.",
            s503="The disk is full.",
        ),
    )
    async def append_upload(
        self,
        upload_id: UploadId,
        offset: Offset,
        request: Request[Any, Any, State],
        caller: Who,
        artifacts: Artifacts,
    ) -> UploadView:
        """Send bytes of an upload."""
        return await artifacts.append(
            upload_id,
            caller.project_id,
            offset,
            _body(request),
            lease=_lease(caller),
            body_bytes=request.content_length,
        )

    @delete("/{upload_id:uuid}", summary="Give an upload up", responses=_problems(s404=_UPLOAD_GONE))
    async def delete_upload(self, upload_id: UploadId, caller: Who, artifacts: Artifacts) -> None:
        """Give an upload up. The artifact of a finished one stays."""
        await artifacts.delete_upload(upload_id, caller.project_id, _lease(caller))


class ArtifactController(Controller):
    """Artifacts: download, whole or in part."""

    path = "/artifacts"
    tags = ["artifacts"]  # noqa: RUF012  as Litestar declares it

    @get(
        "/{sha256:str}",
        summary="Download an artifact",
        description="The bytes, or with `Range: bytes=…` one range of them (206). The ETag is the hash.",
        media_type=BYTES,
        responses={
            206: ResponseSpec(bytes, generate_examples=False, description="The range.", media_type=BYTES),
            304: ResponseSpec(None, generate_examples=False, description="`If-None-Match` names these bytes."),
            **_problems(s404=_NO_ARTIFACT, s416="The range holds no byte; `extra.size_bytes` says how many there are."),
        },
    )
    async def get_artifact(
        self,
        sha256: Hash,
        caller: Who,
        artifacts: Artifacts,
        range_header: RangeHeader = None,
        if_range: IfRange = None,
        if_none_match: IfNoneMatch = None,
    ) -> Stream:
        """Download an artifact."""
        artifact = await _open(artifacts, caller, sha256)
        headers = _headers(artifact)
        if if_none_match is not None and headers["etag"] in (tag.strip() for tag in if_none_match.split(",")):
            return Stream(iter(()), status_code=304, headers={"etag": headers["etag"]})
        part = None
        if if_range in (None, headers["etag"]):
            part = parse_range(range_header, artifact.size_bytes)
        if part is not None:
            headers["content-range"] = part.content_range(artifact.size_bytes)
            headers["content-length"] = str(part.size)
        return Stream(artifact.read(part), status_code=206 if part else 200, headers=headers, media_type=BYTES)

    @head(
        "/{sha256:str}",
        summary="Size of an artifact",
        description="The headers of the download: Content-Length, ETag, Accept-Ranges.",
        responses={
            200: ResponseSpec(None, generate_examples=False, description="It is there.", media_type=BYTES),
            **_problems(s404=_NO_ARTIFACT),
        },
    )
    async def head_artifact(self, sha256: Hash, caller: Who, artifacts: Artifacts) -> Response[None]:
        """Size of an artifact."""
        artifact = await _open(artifacts, caller, sha256)
        return Response(None, headers={**_headers(artifact), "content-type": BYTES})


async def _open(artifacts: ArtifactService, caller: Caller, sha256: str) -> StoredArtifact:
    if isinstance(caller, LeaseCaller) and sha256 not in caller.readable:
        raise NotFound("the lease's job names no such artifact")
    return await artifacts.open_artifact(caller.project_id, sha256)


def _headers(artifact: StoredArtifact) -> dict[str, str]:
    return {
        "etag": f'"{artifact.sha256}"',
        "accept-ranges": "bytes",
        "content-length": str(artifact.size_bytes),
        # Whatever the bytes are, a browser is to take them for nothing but bytes.
        "x-content-type-options": "nosniff",
        "content-disposition": "attachment",
        "cache-control": "private, immutable",
    }


def _lease(caller: Caller) -> LeaseScope | None:
    return LeaseScope(caller.job_id, caller.task, caller.epoch) if isinstance(caller, LeaseCaller) else None


async def _body(request: Request[Any, Any, State]) -> AsyncIterator[bytes]:
    """The body as it comes. A connection that breaks off ends it: the bytes before are good ones."""
    try:
        async for chunk in request.stream():
            yield chunk
    except InternalServerException:
        return
