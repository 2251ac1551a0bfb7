"""The types of an IDL, as codecs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hypernode.chain.solana.errors import IdlInvalid
from hypernode.chain.solana.idl.borsh import (
    ARRAY_ITEMS,
    Array,
    Bool,
    Bytes,
    Codec,
    Enum,
    Float,
    Integer,
    Key,
    Option,
    Struct,
)
from hypernode.chain.solana.idl.model import Idl, TypeBody, TypeDefinition

DEPTH: Final = 32
_INTEGER: Final = re.compile(r"([iu])(8|16|32|64|128|256)")
_PLAIN: Final[Mapping[str, Codec]] = {
    "bool": Bool(),
    "f32": Float("<f"),
    "f64": Float("<d"),
    "bytes": Bytes(text=False),
    "string": Bytes(text=True),
    "pubkey": Key(),
}


class Types:
    """The types of one IDL, made into codecs as they are needed."""

    def __init__(self, idl: Idl) -> None:
        self._definitions = {definition.name: definition for definition in idl.types}

    def codec(self, kind: Any, depth: int = 0) -> Codec:
        """The codec of a type as the IDL writes it. Raises IdlInvalid."""
        if depth > DEPTH:
            raise IdlInvalid(f"types are nested deeper than {DEPTH}, or in themselves")
        match kind:
            case str() if kind in _PLAIN:
                return _PLAIN[kind]
            case str() if found := _INTEGER.fullmatch(kind):
                return Integer(int(found[2]), signed=found[1] == "i")
            case {"option": inner}:
                return Option(self.codec(inner, depth + 1), Integer(8, signed=False))
            case {"coption": inner}:
                return Option(self.codec(inner, depth + 1), Integer(32, signed=False))
            case {"vec": inner}:
                return Array(self.codec(inner, depth + 1), None)
            case {"array": [inner, int(count)]} if 0 <= count <= ARRAY_ITEMS:
                return Array(self.codec(inner, depth + 1), count)
            case {"defined": {"name": str(name)}}:
                return self.defined(name, depth + 1)
        raise IdlInvalid(f"the type {str(kind)[:200]} is not supported")

    def defined(self, name: str, depth: int = 0) -> Codec:
        """The codec of a type that the IDL defines. Raises IdlInvalid."""
        definition = self._definitions.get(name)
        if definition is None:
            raise IdlInvalid(f"the IDL defines no type {name}")
        _check(definition)
        return self._body(definition.type, depth)

    def fields(self, fields: Sequence[Any], depth: int = 0) -> Struct:
        """The codec of fields in order: each `{name, type}`, or a type alone."""
        named = [field for field in fields if isinstance(field, Mapping) and {"name", "type"} <= field.keys()]
        if len(named) not in (0, len(fields)):
            raise IdlInvalid("of a struct's fields all are named or none")
        if named:
            return Struct([(str(field["name"]), self.codec(field["type"], depth + 1)) for field in named])
        return Struct([(None, self.codec(field, depth + 1)) for field in fields])

    def _body(self, body: TypeBody, depth: int) -> Codec:
        if body.kind == "type":
            return self.codec(body.alias, depth + 1)
        if body.kind == "struct":
            return self.fields(body.fields, depth)
        return Enum([(item.name, self.fields(item.fields, depth) if item.fields else None) for item in body.variants])


def _check(definition: TypeDefinition) -> None:
    if definition.generics:
        raise IdlInvalid(f"the type {definition.name} is generic, which is not supported")
    if definition.serialization != "borsh":
        raise IdlInvalid(f"the type {definition.name} is kept in {definition.serialization}, not in Borsh")
