"""From the bytes of a request to the bytes of its answer: decoded against each method's own signature, and bounded."""

from __future__ import annotations

import inspect
import logging
import typing
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from hypernode.chain.local.chain import Chain
from hypernode.chain.local.rpc.errors import InvalidParams, InvalidRequest, MethodNotFound, ParseError, RpcError
from hypernode.chain.local.settings import ANSWER_BYTES, BATCH_REQUESTS

log = logging.getLogger(__name__)

Method = Callable[..., Any]
M = TypeVar("M", bound=Method)

_ID_CHARACTERS: Final = 256


class Methods:
    """Methods by their names on the wire. The first parameter of each function is the chain; the others are its
    positional parameters, checked against their annotations."""

    def __init__(self) -> None:
        self._methods: dict[str, tuple[Method, type[msgspec.Struct]]] = {}

    def add(self, name: str) -> Callable[[M], M]:
        """Make a function the method of this name."""

        def added(function: M) -> M:
            hints = typing.get_type_hints(function, include_extras=True)
            fields: list[Any] = []
            for parameter in list(inspect.signature(function).parameters.values())[1:]:
                kind = hints[parameter.name]
                bare = parameter.default is inspect.Parameter.empty
                fields.append((parameter.name, kind) if bare else (parameter.name, kind, parameter.default))
            decoded = msgspec.defstruct(name, fields, array_like=True, forbid_unknown_fields=True, frozen=True)
            self._methods[name] = (function, decoded)
            return function

        return added

    def include(self, others: Methods) -> None:
        """All of another registry's, too."""
        self._methods |= others._methods

    @property
    def names(self) -> frozenset[str]:
        """Of all methods."""
        return frozenset(self._methods)

    def call(self, chain: Chain, name: str, params: Any) -> Any:
        """The result of one method. Raises RpcError."""
        found = self._methods.get(name)
        if found is None:
            raise MethodNotFound("Method not found")
        function, kind = found
        try:
            decoded = msgspec.convert(_said(params or []), kind)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"Invalid params: {error}") from error
        except RecursionError as error:
            raise InvalidParams("Invalid params: nested too deeply") from error
        return function(chain, *(getattr(decoded, field) for field in kind.__struct_fields__))


class Request(msgspec.Struct, frozen=True):
    """One call."""

    method: str
    jsonrpc: str
    params: list[Any] | None = None
    id: int | float | str | None = None


def _said(value: Any) -> Any:
    """Without the fields that are null: clients write so what they say nothing about."""
    if isinstance(value, dict):
        return {key: _said(part) for key, part in value.items() if part is not None}
    return [_said(part) for part in value] if isinstance(value, list) else value


def answer(body: bytes, call: Callable[[str, Any], Any]) -> bytes:
    """The answer to a body: one request or a batch of them. `call` gets a method's name and parameters, and raises
    RpcError for what it refuses."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode(_refused(ParseError("Parse error"), None))
    if not isinstance(value, list):
        return msgspec.json.encode(_one(value, call))
    if not value or len(value) > BATCH_REQUESTS:
        refused = InvalidRequest(f"a batch has 1 to {BATCH_REQUESTS} requests, this one {len(value)}")
        return msgspec.json.encode(_refused(refused, None))
    answers, size = [], 0

    def bounded(method: str, params: Any) -> Any:
        if size > ANSWER_BYTES:
            raise InvalidRequest(f"the answers to one batch have more than {ANSWER_BYTES} bytes; ask in smaller ones")
        return call(method, params)

    for part in value:
        answers.append(msgspec.json.encode(_one(part, bounded)))
        size += len(answers[-1])
    return b"[" + b",".join(answers) + b"]"


def _one(value: Any, call: Callable[[str, Any], Any]) -> dict[str, Any]:
    number = None
    try:
        try:
            request = msgspec.convert(value, Request)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"Invalid request: {error}") from error
        if request.jsonrpc != "2.0" or (isinstance(request.id, str) and len(request.id) > _ID_CHARACTERS):
            raise InvalidRequest("Invalid request: JSON-RPC 2.0 is spoken here")
        number = request.id
        return {"jsonrpc": "2.0", "result": call(request.method, request.params), "id": number}
    except RpcError as error:
        return _refused(error, number)
    except Exception:
        log.exception("a request failed unexpectedly")
        return _refused(RpcError("Internal error"), number)


def _refused(error: RpcError, number: Any) -> dict[str, Any]:
    shown = {"code": error.code, "message": error.message}
    return {"jsonrpc": "2.0", "error": shown if error.data is None else shown | {"data": error.data}, "id": number}
