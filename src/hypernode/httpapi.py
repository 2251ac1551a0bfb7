"""What the rooms' HTTP handlers share: decoding with all errors at once, problem documents, common parameters, and
server-sent events."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from litestar.di import NamedDependency
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Reference, Schema
from litestar.params import HeaderParameter, PathParameter, QueryParameter, SkipValidation
from litestar.response import Stream
from litestar.typing import FieldDefinition

from hypernode.jobs.model import JobDocument
from hypernode.kernel import decode, limits
from hypernode.kernel.errors import Overloaded, Problem
from hypernode.tenancy.model import ProjectCaller

T = TypeVar("T")

PROBLEM_JSON: Final = "application/problem+json"
YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")
PUBLIC: Final = "public"
"""`opt={PUBLIC: True}` marks a handler that needs no API key."""
KEEP_ALIVE_S: Final = 15.0

Project: TypeAlias = NamedDependency[SkipValidation[ProjectCaller]]
"""The project that asks, as the dependency `project`. Every query is within it."""
JobId: TypeAlias = Annotated[UUID, PathParameter(description="The job's `id`.")]
Cursor: TypeAlias = Annotated[
    str | None, QueryParameter(required=False, max_length=200, description="`next` of the page before.")
]
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=limits.PAGE_ITEMS, description="Items on a page.")]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        max_length=limits.IDEMPOTENCY_KEY_CHARS,
        description="Repeating a request with the same key makes nothing twice and gets the same answer.",
    ),
]
LastEventId: TypeAlias = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", required=False, max_length=64, description="Resume after this event."),
]


def problems(**meaning: str) -> dict[int, ResponseSpec]:
    """The OpenAPI responses of what a handler refuses, by status (`s404="…"`)."""
    common = {"s400": "A parameter or the body could not be decoded.", "s401": "No valid API key."}
    return {
        int(status[1:]): ResponseSpec(Problem, description=text, generate_examples=False, media_type=PROBLEM_JSON)
        for status, text in {**common, **meaning}.items()
    }


class Decoded(AbstractDTO[T]):
    """Decodes a body with `kernel.decode`: all errors at once, each with its path, and units where a field takes them.
    YAML is taken too, where the content type says so. Raises InvalidInput, Malformed or TooLarge."""

    def decode_bytes(self, value: bytes) -> Any:
        content_type = self.asgi_connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type in YAML_TYPES:
            return decode.from_yaml(value, self.model_type, max_bytes=limits.YAML_BODY_BYTES)
        return decode.from_json(value, self.model_type)

    def decode_builtins(self, value: dict[str, Any]) -> Any:
        return decode.from_plain(value, self.model_type)

    @classmethod
    def create_for_field_definition(cls, field_definition: Any, handler_id: str, backend_cls: Any = None) -> None:
        """Nothing is generated: the structs are the interface."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False


DocumentBody = Decoded[JobDocument]
"""A job document as the whole body."""


def fingerprint(*parts: bytes) -> bytes:
    """SHA-256 that tells whether two requests ask the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


class ServerEvent(msgspec.Struct, frozen=True):
    """One server-sent event: its position, its kind, and its data."""

    id: str
    kind: str
    data: Any


class Streams:
    """Counts the event streams each project has open, since every one of them reads the database."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()

    def bounded(self, project_id: UUID, events: AsyncIterator[T]) -> AsyncIterator[T]:
        """The same events, counted while they are read. Raises Overloaded, before anything is sent, when the project
        has STREAMS_PER_PROJECT open."""
        if self._open[project_id] >= limits.STREAMS_PER_PROJECT:
            raise Overloaded(f"{limits.STREAMS_PER_PROJECT} streams of this project are open", retry_after_s=5)
        return self._counted(project_id, events)

    async def _counted(self, project_id: UUID, events: AsyncIterator[T]) -> AsyncIterator[T]:
        self._open[project_id] += 1
        try:
            async for event in events:
                yield event
        finally:
            self._open[project_id] -= 1
            if not self._open[project_id]:
                del self._open[project_id]


def event_stream(events: AsyncIterator[ServerEvent | None], headers: Mapping[str, str] | None = None) -> Stream:
    """A `text/event-stream`. A None among the events is a chance for a keep-alive, sent when 15 s have passed."""
    return Stream(
        _encoded(events),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})},
    )


async def _encoded(events: AsyncIterator[ServerEvent | None]) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    last = clock()
    yield b": stream begins\n\n"  # headers go out at once, so that a client knows it is connected
    async for event in events:
        if event is not None:
            data = msgspec.json.encode(event.data)
            yield f"id: {event.id}\nevent: {event.kind}\ndata: ".encode() + data + b"\n\n"
            last = clock()
        elif clock() - last >= KEEP_ALIVE_S:
            yield b": keep-alive\n\n"
            last = clock()
