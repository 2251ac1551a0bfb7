"""The ASGI application: JSON-RPC over HTTP and over WebSocket, both on either port.

Who may ask: programs on this machine, and web pages that this machine itself serves. A page from elsewhere, which any
browser would let send requests to loopback, is refused by its origin, or by the name it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from hypernode.chain.local.chain import Chain
from hypernode.chain.local.notices import Subscriptions
from hypernode.chain.local.rpc.api import METHODS
from hypernode.chain.local.rpc.dispatch import answer
from hypernode.chain.local.settings import BODY_BYTES, CONNECTIONS, LOOPBACK, UNSENT_BYTES, UNSENT_NOTICES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_TRY_AGAIN_LATER: Final = 1013
_TOO_BIG: Final = 1009


class Application:
    """`public`: whoever reaches it may ask, whatever the name and the page it asks from."""

    def __init__(self, chain: Chain, subscriptions: Subscriptions, *, public: bool = False) -> None:
        self._chain, self._subscriptions = chain, subscriptions
        self._open = public
        self._connections: set[_Connection] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, or one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        allow = [] if origin is None else [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if not self._may(headers):
            await _respond(send, 403, b"this chain answers its own machine only", [])
        elif scope["method"] == "OPTIONS":
            allow += [(b"access-control-allow-methods", b"POST, GET"), (b"access-control-allow-headers", b"*")]
            await _respond(send, 204, b"", allow)
        elif scope["method"] == "GET" and scope["path"] == "/health":
            await _respond(send, 200, b"ok", allow)
        elif scope["method"] != "POST":
            await _respond(send, 405, b"JSON-RPC is spoken here: POST a request", [(b"allow", b"POST"), *allow])
        elif (body := await _body(headers, receive)) is None:
            await _respond(send, 413, f"a request has at most {BODY_BYTES} bytes".encode(), allow)
        else:
            made = answer(body, lambda method, params: METHODS.call(self._chain, method, params))
            await _respond(send, 200, made, [_JSON, *allow])

    def _may(self, headers: dict[bytes, bytes]) -> bool:
        if self._open:
            return True
        try:
            asked = [urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}")]
            origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
            # An extension of the browser, such as a wallet, was installed by its user.
            if b"origin" in headers and not origin.scheme.endswith("-extension"):
                asked.append(origin)
            return all((part.hostname or "") in LOOPBACK for part in asked)
        except ValueError:
            return False

    # ── WebSocket ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _websocket(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if not self._may(dict(scope["headers"])) or len(self._connections) >= CONNECTIONS:
            await send({"type": "websocket.close"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        connection = _Connection()
        self._connections.add(connection)
        sender = asyncio.create_task(connection.send_all(send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                body = message.get("text") or message.get("bytes") or b""
                if len(body) > BODY_BYTES:
                    connection.end(_TOO_BIG)
                    break
                self._answer(connection, body.encode() if isinstance(body, str) else body)
        finally:
            self._connections.discard(connection)
            self._subscriptions.drop(connection)
            connection.end(1000)
            with contextlib.suppress(Exception):
                await sender

    def _answer(self, connection: _Connection, body: bytes) -> None:
        begun: list[Any] = []

        def call(method: str, params: Any) -> Any:
            result = self._subscriptions.call(connection, method, params)
            begun.append(result)
            return result

        connection.take(answer(body, call))
        for number in begun:
            self._subscriptions.began(number)


class _Connection:
    """What waits to be sent to one connection."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | int] = asyncio.Queue(UNSENT_NOTICES + 1)
        self._waiting_bytes = 0
        self._ended = False

    def take(self, notice: bytes) -> None:
        """Have it sent. A connection that is too far behind is closed, without what it has not read yet."""
        if self._ended:
            return
        self._waiting_bytes += len(notice)
        if self._waiting.qsize() < UNSENT_NOTICES and self._waiting_bytes <= UNSENT_BYTES:
            self._waiting.put_nowait(notice)
            return
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self.end(_TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Send what waits, then close."""
        if not self._ended:
            self._ended = True
            self._waiting.put_nowait(code)

    async def send_all(self, send: Send) -> None:
        """Send until the end."""
        while isinstance(item := await self._waiting.get(), bytes):
            self._waiting_bytes -= len(item)
            await send({"type": "websocket.send", "text": item.decode()})
        await send({"type": "websocket.close", "code": item})


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
    """The body, or None for one that is too long, of which no more is read than that."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > BODY_BYTES:
        return None
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES or message["type"] != "http.request":
            return None
        more = message.get("more_body", False)
    return bytes(body)


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})
