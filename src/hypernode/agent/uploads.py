"""Outputs to the coordinator: announced by hash, sent in pieces, resumed at the offset it has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from hypernode.agent.refusal import OUTPUTS_LOST, GiveBack
from hypernode.agent.remote import Remote
from hypernode.artifacts.model import UploadRequest, UploadView
from hypernode.kernel import limits
from hypernode.kernel.errors import Malformed, OffsetMismatch
from hypernode.ledger.receipt import OutputFile
from hypernode.protocol.messages import LeaseRef

PATH: Final = "/api/v1/uploads"
PIECE_BYTES: Final = limits.BODY_BYTES
"""One PATCH. What breaks costs at most this much to send again."""


async def upload(remote: Remote, lease: LeaseRef, output: OutputFile, spool: Path, *, for_s: float) -> None:
    """Have the coordinator hold this output; quick if it already does.

    Tries through outages for `for_s` seconds. Raises GiveBack if the file is gone from the spool, otherwise what the
    coordinator refused with.
    """
    path = spool / output.sha256
    if not path.is_file() or path.stat().st_size != output.size_bytes:
        raise GiveBack(OUTPUTS_LOST, f"output {output.path} is no longer in this node's spool")
    request = msgspec.json.encode(UploadRequest(output.sha256, output.size_bytes))
    view = await remote.repeat(lambda: _view(remote, lease, "POST", PATH, request), for_s=for_s)
    while not view.complete:
        offset, upload_id = view.offset, view.id
        data = await asyncio.to_thread(_read, path, offset)
        try:
            view = await remote.repeat(lambda: _send(remote, lease, upload_id, offset, data), for_s=for_s)  # noqa: B023
        except OffsetMismatch:  # a piece whose answer got lost has arrived
            view = await remote.repeat(lambda: _view(remote, lease, "GET", f"{PATH}/{upload_id}"), for_s=for_s)  # noqa: B023
        if not view.complete and offset == view.offset == output.size_bytes:
            # The empty piece at the end asks for the verdict; there must be one then.
            raise Malformed(f"upload {upload_id} has all bytes of {output.path} but is not complete")


async def _view(remote: Remote, lease: LeaseRef, method: str, path: str, content: bytes | None = None) -> UploadView:
    return _decode(await remote.json(lease, method, path, content=content))


async def _send(remote: Remote, lease: LeaseRef, upload_id: str, offset: int, data: bytes) -> UploadView:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
    async with remote.request(lease, "PATCH", f"{PATH}/{upload_id}", headers=headers, content=data) as answer:
        return _decode(await answer.aread())


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)


def _decode(body: bytes) -> UploadView:
    try:
        return msgspec.json.decode(body, type=UploadView)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not an upload: {error}") from error
