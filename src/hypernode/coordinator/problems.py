"""Every error that leaves over HTTP is an RFC 9457 problem with a stable code."""

from __future__ import annotations

import logging
from typing import Any, Final

import asyncpg
import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException

from hypernode.db.pool import is_away
from hypernode.httpapi import PROBLEM_JSON
from hypernode.kernel.errors import (
    FieldError,
    HypernodeError,
    InternalError,
    InvalidInput,
    Malformed,
    NotFound,
    Problem,
    TooLarge,
    Unavailable,
    problem_of,
)

log = logging.getLogger(__name__)

_BY_STATUS: Final = {400: Malformed, 404: NotFound, 413: TooLarge, 422: InvalidInput}
_CODES: Final = {405: "http.method_not_allowed", 406: "http.not_acceptable", 415: "http.unsupported_media_type"}


def on_error(request: Request[Any, Any, Any], error: HypernodeError) -> Response[bytes]:
    """An error of ours."""
    if error.status >= 500 and not isinstance(error, Unavailable):
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    return _respond(request, problem_of(error, request.url.path), error.retry_after_s)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the framework: an unknown route, a wrong method, a parameter that cannot be read."""
    if error.status_code >= 500:
        return on_unexpected(request, error)
    kind = _BY_STATUS.get(error.status_code)
    errors: tuple[FieldError, ...] = ()
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        errors = tuple(
            FieldError(str(entry.get("key", "$")), str(entry.get("message", ""))) for entry in error.extra[:100]
        )
    if kind is not None:
        return _respond(request, problem_of(kind(error.detail, errors=errors), request.url.path))
    problem = Problem(
        type=f"urn:hypernode:problem:{_CODES.get(error.status_code, 'http.error')}",
        title=error.detail or "The request is not acceptable.",
        status=error.status_code,
        code=_CODES.get(error.status_code, "http.error"),
        instance=request.url.path,
    )
    response = _respond(request, problem)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A mistake of ours, or a database that is away. Details are logged, not told."""
    if is_away(error):
        log.warning("%s %s: database: %r", request.method, request.url.path, error)
        return _respond(request, problem_of(Unavailable("the database did not answer"), request.url.path), 1)
    if isinstance(error, asyncpg.DataError):
        # Such as a NUL character in a text: nothing was written, and the database said what it cannot hold.
        return _respond(request, problem_of(Malformed("a value cannot be stored or compared"), request.url.path))
    log.error("%s %s: unexpected error", request.method, request.url.path, exc_info=error)
    return _respond(request, problem_of(InternalError(), request.url.path))


def _respond(request: Request[Any, Any, Any], problem: Problem, retry_after_s: int | None = None) -> Response[bytes]:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = b"" if request.method == "HEAD" else msgspec.json.encode(problem)
    response: Response[bytes] = Response(body, status_code=problem.status, headers=headers, media_type=MediaType.TEXT)
    response.headers["content-type"] = PROBLEM_JSON
    return response
