"""Writes the pages of docs/reference that say what the code says: job document, errors, limits, command line.

    python tools/reference.py            write them
    python tools/reference.py --check    exit with 1 if a committed page differs

Prose that the code cannot give stands here, beside the check that it covers everything: a field, a code or a bound
without a word about it is an error, not an empty cell.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union

import msgspec
import typer
import yaml
from reference_words import (
    CLOSINGS,
    EXAMPLE,
    FIELDS,
    GIVEN_BACK,
    HIDDEN,
    HTTP,
    LIMITS,
    PROVIDED,
    STRUCTS,
    UNITS,
    WORDS,
)

import hypernode
from hypernode.jobs import model
from hypernode.jobs.explain import _CAUSES
from hypernode.kernel import errors, limits

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "reference"
SOURCE: Final = ROOT / "src" / "hypernode"
NOTICE: Final = "<!-- Made by `make reference` (tools/reference.py). Edit that, not this page. -->\n"


class Incomplete(Exception):
    """Something in the code has no words here."""


# ── job document ─────────────────────────────────────────────────────────────────────────────────────────────────────


def job_document() -> str:
    """The page about job documents."""
    document = model.parse(yaml.safe_load(EXAMPLE))
    canonical = model.encode(document)
    pretty = json.dumps(json.loads(canonical), indent=2, ensure_ascii=False)
    lines = [
        "# Job document",
        "",
        "A job is one document. It is the same in JSON and YAML. Where a field has a unit, a text with that unit is "
        "taken too; what is stored, hashed and sent is the canonical form (RFC 8785 JSON) in base units with all "
        "defaults written out. The SHA-256 of that form is the job's content id. A document with mistakes is refused "
        "with all of them at once, each with its path. Unknown fields are mistakes.",
        "",
        f"A document has at most {_size(limits.DOCUMENT_BYTES)} in canonical form. YAML aliases are not taken.",
        "",
        "| unit | written as | units |",
        "|---|---|---|",
        *(f"| {name} | {example} | {units} |" for name, example, units in UNITS.values()),
        "",
    ]
    for title, struct in STRUCTS:
        lines += [f"## {title}", "", "| field | | takes | default |", "|---|---|---|---|"]
        for field in msgspec.structs.fields(struct):
            key = f"{struct.__name__}.{field.name}"
            if key not in FIELDS:
                raise Incomplete(f"tools/reference.py: FIELDS has no {key}")
            takes = "; ".join(part for part in _describe(field.type) if part)
            lines.append(f"| `{field.encode_name}` | {FIELDS[key]} | {takes} | {_default(field)} |")
        lines.append("")
    lines += [
        "## What a task finds",
        "",
        "A task sees its inputs below `/in`, a folder `/out` of its own if the job has outputs, `/tmp`, no network "
        "but the way to the hosts it names, and these variables beside `HOME`, `LANG`, `PATH`, the document's "
        "`environment` and, of an image, its own:",
        "",
        "| variable | value |",
        "|---|---|",
        *(f"| `{name}` | {value} |" for name, value in PROVIDED),
        "",
        "A WebAssembly module sees `/in`, and with outputs `/out`, which is also where its relative paths begin. There "
        "is no `/tmp`. Its only variables are the document's own and, of an array, the last two. Clocks stand at "
        "2000-01-01T00:00:00Z, sleeping takes no time, files have no times of their own, and there are no sockets.",
        "",
        "## Example",
        "",
        "```yaml",
        EXAMPLE.rstrip(),
        "```",
        "",
        "The same job as it is stored, here with line breaks:",
        "",
        "```json",
        pretty,
        "```",
        "",
        f"Its content id is `{model.identify(document)}`, the SHA-256 of {len(canonical)} bytes.",
    ]
    return _page(lines)


def _describe(kind: Any) -> tuple[str, str, str]:
    """Type, unit and bounds of a field, as people read them."""
    bounds: list[str] = []
    unit = ""
    optional = False
    while True:
        origin = typing.get_origin(kind)
        if origin is Annotated:
            named = _named(kind)
            for meta in kind.__metadata__:
                bounds += _bounds(meta, bool(named))
                unit = UNITS[meta.extra["unit"]][0] if meta.extra and "unit" in meta.extra else unit
            if named:
                bounds.append(named)
            kind = kind.__origin__
        elif origin in (Union, types.UnionType):
            members = [part for part in typing.get_args(kind) if part is not type(None)]
            optional = type(None) in typing.get_args(kind)
            kind = members[0]
        else:
            break
    name, inner = _type(kind)
    text = "; ".join(dict.fromkeys([*bounds, *inner]))
    return name + (" or null" if optional else ""), unit, text


def _type(kind: Any) -> tuple[str, list[str]]:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(kind)), []
    if origin is tuple:
        name, _, bounds = _describe(typing.get_args(kind)[0])
        return f"list of {name}", [f"each {bounds}"] if bounds else []
    if origin is dict:
        of_key, of_value = typing.get_args(kind)
        key_bounds = _describe(of_key)[2]
        value_name, _, value_bounds = _describe(of_value)
        said = [f"names {key_bounds}"] if key_bounds else []
        return f"map to {value_name}", [*said, *([f"values {value_bounds}"] if value_bounds else [])]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {"ArtifactRef": "artifact"}.get(kind.__name__, "object"), []
    return {int: "integer", str: "text", bool: "boolean"}[kind], []


def _named(kind: Any) -> str:
    return next((words for name, words in WORDS.items() if getattr(model, name) == kind), "")


def _bounds(meta: Any, named: bool) -> list[str]:
    found = []
    if meta.ge is not None and meta.le is not None:
        found.append(f"{meta.ge:,} … {meta.le:,}")
    elif meta.le is not None or meta.ge is not None:
        raise Incomplete("a number has one bound only")
    if meta.max_length is not None and meta.max_length != meta.min_length:
        found.append(
            f"{meta.min_length or 0} … {meta.max_length:,} long" if meta.min_length else f"≤ {meta.max_length:,}"
        )
    if meta.pattern is not None and not named:
        found.append("a dotted name" if "." in meta.pattern else f"`{meta.pattern}`")
    return found


def _default(field: Any) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "all defaults"
    if value is None:
        return "null"
    if value in ((), {}):
        return "empty"
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def error_codes() -> str:
    """The page about errors."""
    _import_all()
    kinds = list(dict.fromkeys(_walk(errors.HypernodeError)))
    public = [kind for kind in kinds if not _local(kind) and kind is not errors.HypernodeError]
    local = [kind for kind in kinds if _local(kind) and "code" in vars(kind)]  # others share their parent's
    lines = [
        "# Errors",
        "",
        "Every refusal has a code. Codes are part of the interface: they are added, never renamed. Over HTTP an error "
        "is a problem document (RFC 9457, `application/problem+json`):",
        "",
        "```json",
        json.dumps(msgspec.to_builtins(_example_problem()), indent=2, ensure_ascii=False),
        "```",
        "",
        "`errors` names every wrong field with its path. `retryable` says whether the same request may work later; "
        "where the server knows when, it sends `Retry-After`. `extra` holds what a program may want, such as "
        "`short_by` (µHYPER) with `market.cap_too_low`. In Python the same errors are exceptions with `code`, "
        "`detail` and `errors`.",
        "",
        "## From a coordinator",
        "",
        "| code | status | retry | meaning | class |",
        "|---|---|---|---|---|",
        *(
            f"| `{kind.code}` | {kind.status} | {'yes' if kind.retryable else 'no'} | {_title(kind)} | "
            f"`{kind.__name__}` |"
            for kind in public
        ),
        *(f"| `{code}` | {status} | no | {text} | |" for code, (status, text) in HTTP.items()),
        "",
        "## On your own machine",
        "",
        "These never travel: the client, the command line or the node agent raises them.",
        "",
        "| code | meaning | where |",
        "|---|---|---|",
        *(f"| `{kind.code}` | {_title(kind)} | {_where(kind)} |" for kind in sorted(local, key=lambda k: k.code)),
        "",
        "## Why an attempt ended",
        "",
        "The `cause` of an ended attempt, as events, `hypernode job` and `hypernode explain` give it. First the causes "
        "that the coordinator or the job's own process gives:",
        "",
        "| cause | meaning |",
        "|---|---|",
        *(f"| `{code}` | {text[0].upper()}{text[1:]}. |" for code, text in sorted(_CAUSES.items())),
        "",
        "Then what a node says when it gives a lease back. Unless marked as final, the task is tried elsewhere, and "
        "nobody is paid:",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| `{code}` | {text} |" for code, text in sorted(_complete(GIVEN_BACK, _given_back()).items())),
        "",
        "A node may also pass on a code of the first table that a coordinator gave it, such as "
        "`artifact.hash_mismatch` for an input.",
        "",
        "## Why a node's connection ended",
        "",
        "The code of a `Closing` message, beside those of the first table:",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| `{code}` | {text} |" for code, text in sorted(_complete(CLOSINGS, _closings()).items())),
    ]
    return _page(lines)


def _import_all() -> None:
    for module in pkgutil.walk_packages(hypernode.__path__, "hypernode."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)


def _walk(kind: type[errors.HypernodeError]) -> Iterator[type[errors.HypernodeError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("hypernode."):
            yield from _walk(child)


def _local(kind: type[errors.HypernodeError]) -> bool:
    return kind.__module__ != errors.__name__


def _where(kind: type[errors.HypernodeError]) -> str:
    room = kind.__module__.split(".")[1]
    return {"agent": "node", "db": "coordinator"}.get(room, room)


def _title(kind: type[errors.HypernodeError]) -> str:
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())


def _example_problem() -> errors.Problem:
    error = errors.InvalidInput(
        "1 field is wrong",
        errors=[errors.FieldError("$.resources.memory", "unknown field; did you mean 'memory_bytes'?")],
    )
    return errors.problem_of(error, "/api/v1/jobs")


def _complete(words: dict[str, str], found: set[str]) -> dict[str, str]:
    if words.keys() != found:
        raise Incomplete(
            f"tools/reference.py: without words {found - words.keys()}, not in the code {words.keys() - found}"
        )
    return words


def _given_back() -> set[str]:
    """Codes with which a node gives a lease back: literals of four exceptions, and constants of `refusal`."""
    found = set(_literals("agent", ("GiveBack", "SandboxError", "EnvironmentFailed", "ImageError")))
    refusal = importlib.import_module("hypernode.agent.refusal")
    found |= {value for name, value in vars(refusal).items() if name.isupper() and isinstance(value, str)}
    text = (SOURCE / "agent" / "environments.py").read_text()
    found |= set(re.findall(r'"(environment\.[a-z_]+)"', text))
    return {code for code in found if code != "dropped"}  # "dropped" is never sent


def _closings() -> set[str]:
    return set(_literals("coordinator", ("Closing", "close")))


def _literals(room: str, callees: tuple[str, ...]) -> Iterator[str]:
    """First arguments, where they are literal texts, of the calls of some names in one room."""
    for path in sorted((SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in callees and isinstance(node.args[0].value, str):
                yield node.args[0].value


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bounds() -> str:
    """The page about limits."""
    text = (SOURCE / "kernel" / "limits.py").read_text()
    everywhere = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    body = ast.parse(text).body
    sections = {number: line[2:].strip() for number, line in enumerate(text.split("\n"), 1) if line.startswith("# ")}
    lines = [
        "# Limits",
        "",
        "Everything that comes from outside is bounded. These bounds are the same for everybody and stand in one "
        "place, `hypernode/kernel/limits.py`. What exceeds one is refused with a [code](errors.md), most often "
        "`input.too_large`, `input.invalid` or `server.overloaded`.",
    ]
    section = ""
    for place, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        if name in HIDDEN or not re.search(rf"\blimits\.{name}\b", everywhere):
            continue  # a bound that nothing enforces is not one
        heading = sections[max(number for number in sections if number < node.lineno)]
        if heading != section:
            section = heading
            title = re.sub(r" \(.*", "", heading)
            lines += ["", f"## {title[0].upper()}{title[1:]}", "", "| name | value | |", "|---|---|---|"]
        after = body[place + 1] if place + 1 < len(body) else None
        said = LIMITS.get(name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = " ".join(str(after.value.value).split())
        if said is None:
            raise Incomplete(f"tools/reference.py: LIMITS has no {name}")
        lines.append(f"| `{name}` | {_amount(name, getattr(limits, name))} | {said} |")
    return _page(lines)


def _amount(name: str, value: float) -> str:
    if name == "MICRO_HYPER":
        return f"{value:,} µHYPER"
    if name == "CPU_MILLI":
        return f"{value:,} (1,024 cores)"
    unit = name.rsplit("_", 1)[-1]
    if unit == "BYTES":
        return _size(int(value))
    if unit in ("MS", "S"):
        seconds = value / 1000 if unit == "MS" else value
        for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
            if seconds >= 2 * size and seconds % size == 0:
                return f"{seconds / size:g} {word}"
        return f"{seconds:g} s"
    return f"{value:,}"


def _size(count: int) -> str:
    for unit, word in ((limits.TIB, "TiB"), (limits.GIB, "GiB"), (limits.MIB, "MiB"), (limits.KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {word}"
    return f"{count:,} B"


# ── command line ─────────────────────────────────────────────────────────────────────────────────────────────────────


def command_line() -> str:
    """The page about the command line."""
    from hypernode.cli import build
    from hypernode.cli.failures import EXIT_ERROR, EXIT_TIMEOUT

    root = typer.main.get_command(build())
    lines = [
        "# Command line",
        "",
        f"Each command prints its help with `-h`. Results go to stdout, everything else to stderr. A refusal ends with "
        f"exit code {EXIT_ERROR}, a message, its [code](errors.md) and often a hint; waiting that took too long ends "
        f"with {EXIT_TIMEOUT}. `hypernode run` and `hypernode job` have [more](../guides/client.md#running-a-command).",
        "",
        "`hypernode --install-completion` teaches your shell the commands.",
        "",
        *_options(root),
    ]
    for path, command in _commands("hypernode", root):
        lines += ["", f"## {path.removeprefix('hypernode ')}", "", "```", f"{path}{_usage(command)}", "```", ""]
        lines += [_paragraphs(command.help or ""), ""]
        lines += _options(command)
    return _page(lines)


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        below = f"{path} {name}"
        yield below, command
        if getattr(command, "commands", None):
            yield from _commands(below, command)


def _usage(command: Any) -> str:
    if getattr(command, "commands", None):
        return " [OPTIONS] COMMAND"
    words = [" [OPTIONS]"] if any(not _is_argument(p) for p in command.params) else []
    for parameter in command.params:
        if _is_argument(parameter):
            name = (parameter.metavar or parameter.name.upper()).strip("{}")
            name += "..." if parameter.nargs == -1 and not name.endswith(("...", "…")) else ""
            words.append(f" {name}" if parameter.required else f" [{name}]")
    return "".join(words)


def _options(command: Any) -> list[str]:
    rows = []
    for parameter in command.params:
        if parameter.name in ("help", "install_completion", "show_completion") or getattr(parameter, "hidden", False):
            continue
        if _is_argument(parameter):
            label = f"`{(parameter.metavar or parameter.name.upper()).strip('{}')}`"
        else:
            label = ", ".join(f"`{text}`" for text in (*parameter.opts, *parameter.secondary_opts))
        rows.append(f"| {label} | {_cell(parameter.help or '')}{_more(parameter)} |")
    return ["| | |", "|---|---|", *rows] if rows else []


def _more(parameter: Any) -> str:
    notes = []
    default = parameter.default
    if not parameter.required and default not in (None, False, "", (), []) and not callable(default):
        notes.append(f"default `{default}`")
    variable = getattr(parameter, "envvar", None)
    if variable:
        notes.append(f"variable `{variable}`")
    return f" ({'; '.join(notes)})" if notes else ""


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PAGES: Final = {
    "job-document.md": job_document,
    "errors.md": error_codes,
    "limits.md": bounds,
    "cli.md": command_line,
}


def _page(lines: list[str]) -> str:
    title, *rest = lines
    return "\n".join([title, "", NOTICE.rstrip(), *rest]).rstrip() + "\n"


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {name: make() for name, make in PAGES.items()}


def main() -> int:
    """Write the pages, or check them."""
    check = sys.argv[1:] == ["--check"]
    different = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            different.append(name)
            if not check:
                path.write_text(text)
    for name in different:
        print(f"docs/reference/{name} {'is not what `make reference` writes' if check else 'written'}")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
