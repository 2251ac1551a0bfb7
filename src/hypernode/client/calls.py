"""Every route of the HTTP interface as a value: what to send, and what type comes back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar
from urllib.parse import quote as percent

import msgspec

from hypernode.artifacts.model import UploadRequest, UploadView
from hypernode.client.effects import Answer, Request
from hypernode.client.errors import AnswerInvalid
from hypernode.client.retry import retry_after_s
from hypernode.jobs.model import ArtifactRef, JobDocument, encode
from hypernode.jobs.views import BatchView, Explanation, JobPage, JobView, QuoteView, TaskPage
from hypernode.kernel.errors import (
    HypernodeError,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    Problem,
    Refused,
    Unauthenticated,
    Unavailable,
    error_of,
)
from hypernode.ledger.model import AccountView, ReceiptPage, StatementPage
from hypernode.nodes.model import JoinTokenRequest, JoinTokenView, NodePage, NodeView
from hypernode.secrets.model import SecretList, SecretRequest, SecretView

T = TypeVar("T")
PREFIX = "/api/v1"
JSON = "application/json"
BYTES = "application/octet-stream"


class Whoami(msgspec.Struct, frozen=True):
    """Whose API key this is."""

    project_id: str
    project: str
    key: str
    """The key's name or handle, never its secret."""


class Network(msgspec.Struct, frozen=True):
    """What a coordinator says about its network; `coordinators` are the public keys that sign receipts."""

    version: str
    coordinators: tuple[str, ...]
    coordinator_key: str


class Call(msgspec.Struct, Generic[T], frozen=True):
    """A request and the type of its answer."""

    request: Request
    kind: type[T]


def read(answer: Answer, kind: type[T]) -> T:
    """The typed answer. Raises what its problem document stands for, or AnswerInvalid."""
    if not 200 <= answer.status < 300:
        raise problem(answer)
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnswerInvalid(
            f"not a {kind.__name__}: {error}; client and coordinator may be of different versions"
        ) from error


def problem(answer: Answer) -> HypernodeError:
    """The exception that an answer other than a success stands for. Proxies on the way answer without a problem
    document; their status then says what it was."""
    seconds = retry_after_s(answer.headers, datetime.now(UTC))
    after = None if seconds is None else int(seconds + 0.999)
    try:
        return error_of(msgspec.json.decode(answer.content, type=Problem), after)
    except (msgspec.DecodeError, UnicodeDecodeError):
        kinds: dict[int, type[HypernodeError]] = {401: Unauthenticated, 404: NotFound, 429: Overloaded}
        kind = kinds.get(answer.status)
        if kind is None:
            gone = answer.status in (502, 503, 504)
            kind = Unavailable if gone else InternalError if answer.status >= 500 else Refused
        return kind(f"HTTP status {answer.status} without a problem document", retry_after_s=after)


def segment(text: object) -> str:
    """One part of a path, quoted so that no id can name another route."""
    part = str(text)
    if part in ("", ".", ".."):
        raise InvalidInput(f"{part!r} is not an id")
    return percent(part, safe="")


def _get(path: str, kind: type[T], **params: str | int | None) -> Call[T]:
    pairs = tuple((name, str(value)) for name, value in params.items() if value is not None)
    return Call(Request(method="GET", path=PREFIX + path, params=pairs, repeatable=True), kind)


def _post(path: str, body: bytes, kind: type[T], key: str | None = None) -> Call[T]:
    headers = {"content-type": JSON} | ({"idempotency-key": key} if key else {})
    return Call(
        Request(method="POST", path=PREFIX + path, headers=headers, content=body, repeatable=True),
        kind,
    )


def quote(document: JobDocument) -> Call[QuoteView]:
    """Takes nothing, so it may be repeated without a key."""
    return _post("/quotes", encode(document), QuoteView)


def submit(document: JobDocument, key: str) -> Call[JobView]:
    """`key` makes it repeatable: the same key and document give the same job."""
    return _post("/jobs", encode(document), JobView, key)


def submit_many(documents: Sequence[JobDocument], key: str) -> Call[BatchView]:
    """Several jobs, each taken or refused by itself."""
    body = b'{"jobs":[' + b",".join(encode(document) for document in documents) + b"]}"
    return _post("/jobs/batch", body, BatchView, key)


def jobs(
    state: str | None, name: str | None, labels: Mapping[str, str], cursor: str | None, limit: int | None
) -> Call[JobPage]:
    """One page of jobs, newest first."""
    call = _get("/jobs", JobPage, state=state, name=name, cursor=cursor, limit=limit)
    pairs = tuple(("label", f"{label}:{value}") for label, value in labels.items())
    return Call(msgspec.structs.replace(call.request, params=call.request.params + pairs), JobPage)


def job(job_id: str) -> Call[JobView]:
    """One job with its document."""
    return _get(f"/jobs/{segment(job_id)}", JobView)


def cancel(job_id: str) -> Call[JobView]:
    """Cancelling twice does no more than once."""
    return _post(f"/jobs/{segment(job_id)}/cancel", b"", JobView)


def tasks(job_id: str, state: str | None, cursor: str | None, limit: int | None) -> Call[TaskPage]:
    """One page of a job's tasks by index."""
    return _get(f"/jobs/{segment(job_id)}/tasks", TaskPage, state=state, cursor=cursor, limit=limit)


def receipts(job_id: str, cursor: str | None, limit: int | None) -> Call[ReceiptPage]:
    """One page of a job's receipts."""
    return _get(f"/jobs/{segment(job_id)}/receipts", ReceiptPage, cursor=cursor, limit=limit)


def explain(job_id: str) -> Call[Explanation]:
    """Why a job is as it is."""
    return _get(f"/jobs/{segment(job_id)}/explain", Explanation)


def log_file(job_id: str, task: int, epoch: int | None) -> Request:
    """The raw log of one attempt, at most limits.LOG_BYTES."""
    request = _get(f"/jobs/{segment(job_id)}/logs", bytes, task=task, epoch=epoch).request
    return msgspec.structs.replace(request, headers={"accept": BYTES, "accept-encoding": "identity"})


def log_stream(job_id: str, task: int) -> Request:
    """The log of a task as it grows, over all attempts."""
    return _get(f"/jobs/{segment(job_id)}/logs/stream", bytes, task=task).request


def event_stream(job_id: str | None) -> Request:
    """Transitions of one job, or of everything the project sees."""
    return _get("/events", bytes, job=job_id).request


def nodes(own: bool, cursor: str | None, limit: int | None) -> Call[NodePage]:
    """One page of nodes; `own` leaves out those of other projects."""
    return _get("/nodes", NodePage, own="true" if own else None, cursor=cursor, limit=limit)


def node(key: str) -> Call[NodeView]:
    """One node by its public key."""
    return _get(f"/nodes/{segment(key)}", NodeView)


def join_token(request: JoinTokenRequest, key: str) -> Call[JoinTokenView]:
    """A one-time token that enrols a node for this project."""
    return _post("/nodes/join-tokens", msgspec.json.encode(request), JoinTokenView, key)


def revoke(key: str) -> Call[NodeView]:
    """Take a node's rights away; doing so twice does no more than once."""
    return _post(f"/nodes/{segment(key)}/revoke", b"", NodeView)


def secrets() -> Call[SecretList]:
    """All secrets of the project."""
    return _get("/secrets", SecretList)


def set_secret(name: str, secret: SecretRequest) -> Call[SecretView]:
    """Doing so twice does no more than once."""
    request = Request(
        method="PUT",
        path=f"{PREFIX}/secrets/{segment(name)}",
        headers={"content-type": JSON},
        content=msgspec.json.encode(secret),
        repeatable=True,
    )
    return Call(request, SecretView)


def delete_secret(name: str) -> Request:
    """Once it is gone, it is not found."""
    return Request(method="DELETE", path=f"{PREFIX}/secrets/{segment(name)}", repeatable=True)


def begin_upload(ref: ArtifactRef, key: str) -> Call[UploadView]:
    """Announce bytes; the answer says from where on they are wanted, if at all."""
    body = msgspec.json.encode(UploadRequest(ref.sha256, ref.size_bytes))
    return _post("/uploads", body, UploadView, key)


def upload(upload_id: str) -> Call[UploadView]:
    """How far an upload is."""
    return _get(f"/uploads/{segment(upload_id)}", UploadView)


def send_piece(upload_id: str, offset: int, piece: bytes) -> Call[UploadView]:
    """Bytes from `offset` on. Not repeatable blindly: after a failure ask where the upload stands."""
    headers = {"content-type": BYTES, "upload-offset": str(offset)}
    path = f"{PREFIX}/uploads/{segment(upload_id)}"
    return Call(Request(method="PATCH", path=path, headers=headers, content=piece), UploadView)


def artifact(sha256: str, offset: int) -> Request:
    """An artifact's bytes from `offset` on."""
    headers = {"accept": BYTES, "accept-encoding": "identity"}
    headers |= {"range": f"bytes={offset}-"} if offset else {}
    return Request(method="GET", path=f"{PREFIX}/artifacts/{segment(sha256)}", headers=headers, repeatable=True)


def account() -> Call[AccountView]:
    """The project's accounts."""
    return _get("/account", AccountView)


def statement(cursor: str | None, limit: int | None) -> Call[StatementPage]:
    """One page of the project's movements, newest first."""
    return _get("/account/statement", StatementPage, cursor=cursor, limit=limit)


def whoami() -> Call[Whoami]:
    """Whose key this is."""
    return _get("/whoami", Whoami)


def network() -> Call[Network]:
    """The coordinators' version and public keys."""
    return _get("/network", Network)


def decode(data: str, kind: type[T]) -> T:
    """An event's data. Raises AnswerInvalid."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise AnswerInvalid(f"an event is not a {kind.__name__}: {error}") from error
