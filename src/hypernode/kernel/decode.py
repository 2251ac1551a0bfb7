"""Decoding what comes from outside into typed structs, reporting every error at once with its path.

msgspec stops at the first error. A person who wrote a job document wants them all, so this walks the type and the
data together and asks msgspec only about the leaves. Fields whose metadata names a unit also take a text with that
unit (`512MiB`), which becomes the integer the struct holds; a `check` in the metadata is a function that raises
ValueError for values no pattern can describe well. A struct whose `__post_init__` repeats all such checks says so with
`checks_itself: ClassVar = True`; then valid data takes msgspec's own fast way.
"""

from __future__ import annotations

import difflib
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar, Union

import msgspec
import yaml

from hypernode.kernel import limits
from hypernode.kernel.errors import FieldError, InvalidInput, Malformed, TooLarge
from hypernode.kernel.units import PARSERS

T = TypeVar("T")

ERRORS: Final = 100
"""Errors reported at once; a document with more is not read to its end."""
DEPTH: Final = 32
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def from_json(data: bytes, kind: type[T], *, max_bytes: int = limits.BODY_BYTES) -> T:
    """Decode JSON. Raises TooLarge, Malformed, or InvalidInput with all field errors."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not valid JSON: {error}") from error
    return from_plain(value, kind)


def from_yaml(data: bytes, kind: type[T], *, max_bytes: int = limits.DOCUMENT_BYTES) -> T:
    """Decode YAML (which JSON is a subset of). Raises TooLarge, Malformed, or InvalidInput with all field errors."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        value = yaml.load(data, Loader=_PlainLoader)  # noqa: S506  a subclass of SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed(f"not valid YAML: {error}") from error
    return from_plain(value, kind)


def from_plain(value: Any, kind: type[T]) -> T:
    """Turn dicts, lists and scalars into `kind`. Raises InvalidInput that carries every error found."""
    if getattr(kind, "checks_itself", False):
        # What is right at once, as nearly everything is, need not be walked through: that costs 30 times as much.
        try:
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
            pass
    walk = _Walk()
    plain = walk.visit(value, kind, "$", 0)
    if not walk.errors:
        try:
            return msgspec.convert(plain, kind)
        except msgspec.ValidationError as error:
            walk.add("$", error)
    raise InvalidInput(
        f"{len(walk.errors)} field{'s are' if len(walk.errors) > 1 else ' is'} wrong", errors=walk.errors
    )


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases (a few of which can blow up into gigabytes) and without dates (JSON has none)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        """JSON escapes a character beyond the first plane as two surrogates, which YAML takes for two characters."""
        value: str = super().construct_scalar(node)
        if _SURROGATE.search(value):
            try:
                return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            except UnicodeDecodeError:
                return value  # a lone one stays as it is, and is refused where it stands
        return value


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Walk:
    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, path: str, error: Exception | str) -> None:
        if len(self.errors) >= ERRORS:
            return
        message, _, inner = str(error).partition(" - at `")
        self.errors.append(FieldError(_sendable(path + inner.rstrip("`").removeprefix("$")), _sendable(message)))

    def visit(self, value: Any, kind: Any, path: str, depth: int) -> Any:
        """Check `value` against `kind`, note what is wrong, and return it with units resolved."""
        if depth > DEPTH:
            self.add(path, f"nested deeper than {DEPTH} levels")
            return value
        bare, unit, _ = _strip(kind)
        if unit is not None and isinstance(value, str):
            try:
                value = PARSERS[unit](value)
            except ValueError as error:
                self.add(path, error)
                return value
        origin = typing.get_origin(bare)
        if origin in (Union, types.UnionType):
            return self._union(value, kind, bare, path, depth)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self._struct(value, bare, path, depth)
        before = len(self.errors)
        if origin in (tuple, list) and isinstance(value, list):
            item = typing.get_args(bare)[0]
            value = [self.visit(part, item, f"{path}[{i}]", depth + 1) for i, part in enumerate(value)]
        elif origin is dict and isinstance(value, dict):
            of_key, of_value = typing.get_args(bare)
            for key in value:
                self._leaf(key, of_key, f"{path}.{key}")
            value = {k: self.visit(v, of_value, f"{path}.{k}", depth + 1) for k, v in value.items()}
        if len(self.errors) == before:
            self._leaf(value, kind, path)
        return value

    def _leaf(self, value: Any, kind: Any, path: str) -> None:
        check = _strip(kind)[2]
        try:
            msgspec.convert(value, kind)
            if check is not None:
                check(value)
        except (msgspec.ValidationError, UnicodeEncodeError, ValueError) as error:
            self.add(path, error)

    def _union(self, value: Any, kind: Any, bare: Any, path: str, depth: int) -> Any:
        members = [part for part in typing.get_args(bare) if part is not type(None)]
        if value is None and len(members) < len(typing.get_args(bare)):
            return None
        structs = [part for part in members if isinstance(part, type) and issubclass(part, msgspec.Struct)]
        if len(members) == 1:
            return self.visit(value, members[0], path, depth)
        if not structs:
            self._leaf(value, kind, path)
            return value
        if not isinstance(value, dict):
            self.add(path, f"Expected `object`, got `{_name(value)}`")
            return value
        field = structs[0].__struct_config__.tag_field or "type"
        by_tag = {part.__struct_config__.tag: part for part in structs}
        chosen = by_tag.get(value.get(field)) if isinstance(value.get(field), str) else None
        if chosen is None:
            self.add(f"{path}.{field}", f"must be one of: {', '.join(map(str, by_tag))}")
            return value
        return self._struct(value, chosen, path, depth)

    def _struct(self, value: Any, kind: type[msgspec.Struct], path: str, depth: int) -> Any:
        if not isinstance(value, dict):
            self.add(path, f"Expected `object`, got `{_name(value)}`")
            return value
        fields = _fields(kind)
        config = kind.__struct_config__
        known = set(fields) | ({config.tag_field} if config.tag_field else set())
        before = len(self.errors)
        out = dict(value)
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                self.add(f"{path}.{key}", f"unknown field{hint}")
        for name, field in fields.items():
            if name in value:
                out[name] = self.visit(value[name], field.type, f"{path}.{name}", depth + 1)
            elif field.required:
                self.add(f"{path}.{name}", "is required")
        if len(self.errors) == before:
            self._leaf(out, kind, path)  # what spans several fields: the struct's own __post_init__
        return out


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _strip(kind: Any) -> tuple[Any, str | None, Callable[[Any], None] | None]:
    """A type without its annotations, and the unit and the check they name."""
    unit, check = None, None
    while typing.get_origin(kind) is Annotated:
        for meta in kind.__metadata__:
            if isinstance(meta, msgspec.Meta) and meta.extra:
                unit = meta.extra.get("unit", unit)
                check = meta.extra.get("check", check)
        kind = kind.__origin__
    return kind, unit, check


def _sendable(text: str) -> str:
    """The text with lone surrogates, which YAML can write and JSON cannot, shown as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _name(value: Any) -> str:
    names: dict[type, str] = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)
