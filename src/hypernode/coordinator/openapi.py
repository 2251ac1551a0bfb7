"""The OpenAPI document says what msgspec does: bodies are decoded and encoded by the structs, so their schemas are
taken from msgspec, which knows of bounds on items and keys, of tags, and that tuples have one type of item."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from hypernode.kernel.errors import Problem

_TEMPLATE: Final = "#/components/schemas/{name}"


def use_exact_schemas(app: Litestar) -> None:
    """Replace the schemas of structs in an application's document."""
    components = app.openapi_schema.components
    schemas: dict[str, Any] = dict(components.schemas or {})
    _, exact = msgspec.json.schema_components(_bodies(app), ref_template=_TEMPLATE)
    for schema in exact.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    components.schemas = schemas | exact


def _bodies(app: Litestar) -> list[type[msgspec.Struct]]:
    """The structs that handlers take and give, by name; those within them follow from them."""
    found: set[type[msgspec.Struct]] = {Problem}
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            found |= _of(handler)
    return sorted(found, key=lambda kind: kind.__name__)


def _of(handler: HTTPRouteHandler) -> set[type[msgspec.Struct]]:
    fields = (handler.parsed_return_field, handler.parsed_data_field)
    kinds = [field.annotation for field in fields if field is not None]
    return {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}
