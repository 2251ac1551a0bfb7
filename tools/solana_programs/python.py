"""Writes a program's Python: its types, records and events as structs, its instructions as functions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

WIDTH: Final = 120
_PLAIN: Final = {"bool": "bool", "string": "str", "bytes": "bytes"}


def generate(idl: Mapping[str, Any]) -> str:
    """The module of a program, from its IDL."""
    name = idl["metadata"]["name"]
    records = {each["name"] for each in idl["accounts"]}
    enums = [each for each in idl["types"] if each["type"]["kind"] == "enum"]
    structs = [each for each in idl["types"] if each["type"]["kind"] == "struct"]
    header = _header(name, idl["metadata"]["description"], literals=bool(enums))
    parts = [
        "\n".join([header, *(["", *map(_enum, enums)] if enums else [])]),
        *(_struct(name, each, record=each["name"] in records) for each in structs),
        *(_function(name, each) for each in idl["instructions"]),
    ]
    return "\n\n\n".join(parts) + "\n"


def _header(name: str, about: str, *, literals: bool) -> str:
    return "\n".join(
        [
            _docstring(f"{about}\n\nMade by `make programs` from `programs/{name}/program.toml`; change that.", ""),
            "",
            "# fmt: off",
            "from __future__ import annotations",
            "",
            f"from typing import ClassVar{', Literal' if literals else ''}",
            "",
            "import msgspec",
            "",
            "from hypernode.chain.programs.bundle import Name",
            "from hypernode.chain.programs.calls import Call, Key, Record",
        ]
    )


def _enum(enum: Mapping[str, Any]) -> str:
    return _listed(f"{enum['name']} = Literal[", [f'"{each["name"]}"' for each in enum["type"]["variants"]], "]", "")


def _struct(program: str, struct: Mapping[str, Any], *, record: bool) -> str:
    base = "Record, frozen=True, kw_only=True" if record else "msgspec.Struct, frozen=True, kw_only=True"
    lines = [f"class {struct['name']}({base}):"]
    lines += [_docstring("\n".join(struct["docs"]), "    "), ""] if struct.get("docs") else []
    lines += [f'    of: ClassVar[Name] = "{program}"', ""] if record else []
    for field in struct["type"]["fields"]:
        # Nobody has a value for what only fills a record up.
        default = f" = bytes({field['type']['array'][1]})" if field["name"] == "padding" else ""
        lines.append(f"    {field['name']}: {_type(field['type'], 'str')}{default}")
    return "\n".join(lines)


def _function(program: str, instruction: Mapping[str, Any]) -> str:
    arguments = [f"{each['name']}: {_type(each['type'], 'Key')}" for each in instruction["args"]]
    values = [f'"{each["name"]}": {each["name"]}' for each in instruction["args"]]
    name = instruction["name"]
    return "\n".join(
        [
            _listed(f"def {name}(", ["*", *arguments] if arguments else [], ") -> Call:", ""),
            _docstring("\n".join(instruction["docs"]), "    "),
            _listed(f'return Call("{program}", "{name}", {{', values, "})", "    "),
        ]
    )


def _type(type_: Any, key: str) -> str:
    match type_:
        case "pubkey":
            return key
        case str():
            return _PLAIN.get(type_, "int")
        case {"array": ["u8", _]}:
            return "bytes"
        case {"array": [inner, _]}:
            return f"list[{_type(inner, key)}]"
        case {"defined": {"name": str(name)}}:
            return name
    raise ValueError(f"no Python type for {type_}")


def _docstring(text: str, indent: str) -> str:
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, WIDTH - len(indent) - 6) or [""]]
    closing = '"""' if len(lines) == 1 else f'\n{indent}"""'
    return f'{indent}"""' + "\n".join([lines[0], *(f"{indent}{line}".rstrip() for line in lines[1:])]) + closing


def _listed(head: str, items: Sequence[str], tail: str, indent: str) -> str:
    whole = f"{indent}{head}{', '.join(items)}{tail}"
    if len(whole) <= WIDTH:
        return whole
    return "\n".join([f"{indent}{head}", *_filled(items, indent + "    "), f"{indent}{tail}"])


def _filled(items: Iterable[str], indent: str) -> Iterable[str]:
    line = indent
    for item in items:
        if len(line) + len(item) + 1 > WIDTH:
            yield line.rstrip()
            line = indent
        line += f"{item}, "
    yield line.rstrip()
