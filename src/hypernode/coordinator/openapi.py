"""The OpenAPI document says what msgspec does: bodies are decoded and encoded by the structs, so their schemas are
taken from msgspec, which knows of bounds on items and keys, of tags, and that tuples have one type of item."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar

from hypernode.kernel.errors import InvariantViolated

_TEMPLATE: Final = "#/components/schemas/{name}"


def use_exact_schemas(app: Litestar) -> None:
    """Replace the schemas of structs in an application's document. Raises InvariantViolated where a name is unclear."""
    components = app.openapi_schema.components
    assert components.schemas is not None
    schemas: dict[str, Any] = dict(components.schemas)
    kinds = [_struct(name) for name in sorted(schemas)]
    _, exact = msgspec.json.schema_components([kind for kind in kinds if kind is not None], ref_template=_TEMPLATE)
    for schema in exact.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    components.schemas = schemas | exact


def _struct(name: str) -> type[msgspec.Struct] | None:
    """The struct of this name; None for what is none, such as an enum."""
    found = {kind for kind in _structs(msgspec.Struct) if kind.__name__ == name and not _is_message(kind)}
    if len(found) > 1:
        raise InvariantViolated(f"several structs are named {name}: {sorted(kind.__module__ for kind in found)}")
    return next(iter(found), None)


def _structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    own = [child for child in kind.__subclasses__() if child.__module__.startswith("hypernode.")]
    return itertools.chain(own, *(_structs(child) for child in kind.__subclasses__()))


def _is_message(kind: type[msgspec.Struct]) -> bool:
    """Nodes' messages are arrays, and never on HTTP."""
    return kind.__struct_config__.array_like
