"""Asks a registry what an image's name stands for: the pull half of the OCI distribution specification.

What a registry says is believed only as far as it can be checked: the digest is that of the bytes that came, whatever
the headers claim, and every address, that of redirects and of the token server too, is one that `Reach` allows.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
import ssl
from typing import Final, NamedTuple

import httpx
import msgspec

from hypernode.images import manifests
from hypernode.images.reach import HTTP_PORT, HTTPS_PORT, Reach, Unreachable
from hypernode.images.references import Reference
from hypernode.kernel import limits
from hypernode.kernel.errors import ImageDenied, ImageInvalid, ImageNotFound, RegistryNotAllowed, RegistryUnreachable

RESOLVE_S: Final = 30.0
"""For everything together, the token included."""
REQUEST_S: Final = 10.0
REDIRECTS: Final = 3
TOKEN_BYTES: Final = 64 * limits.KIB
HEADER_CHARS: Final = 8 * limits.KIB

_PARAMETER: Final = re.compile(r'([a-z_]+)="([^"]*)"')
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class _Token(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


async def resolve(reference: Reference, login: tuple[str, str] | None, *, reach: Reach) -> Reference:
    """The reference with the digest of the manifest, or index of manifests, that it stands for at this moment.

    `login` is user name and password; it goes to the registry itself and to the token server it names, as with other
    clients, and nowhere else. A reference that has a digest keeps it, if the registry has that image. Takes at most
    RESOLVE_S. Raises ImageNotFound, ImageDenied, ImageInvalid, RegistryNotAllowed, or RegistryUnreachable.
    """
    body = await fetch(reference, login, reach=reach)
    digest = manifests.digest_of(body)
    if reference.digest and digest != reference.digest:
        raise ImageInvalid(f"{reference}: the registry gave something else, with the digest {digest}")
    try:
        manifests.decode(body)
    except manifests.Unusable as error:
        raise ImageInvalid(f"{reference}: {error}") from error
    return reference._replace(digest=digest)


async def fetch(reference: Reference, login: tuple[str, str] | None, *, reach: Reach) -> bytes:
    """What the registry gives for a reference, whatever that is: neither its digest nor its form has been looked at.

    Takes at most RESOLVE_S. Raises ImageNotFound, ImageDenied, RegistryUnreachable, or ImageInvalid for a registry that
    `reach` does not allow or whose answer is too long.
    """
    try:
        async with asyncio.timeout(RESOLVE_S):
            # A connection is used once: the next request may be for another name at the same address, whose
            # certificate has not been looked at.
            once = httpx.Limits(max_keepalive_connections=0)
            async with httpx.AsyncClient(verify=_trust(), trust_env=False, timeout=REQUEST_S, limits=once) as client:
                return await _Asking(client, reference, login, reach).manifest()
    except TimeoutError as error:
        raise RegistryUnreachable(f"{reference.registry} did not answer within {RESOLVE_S:.0f} s") from error


class _Asking:
    """One question to one registry, with what has to be asked before it is answered."""

    def __init__(
        self, client: httpx.AsyncClient, reference: Reference, login: tuple[str, str] | None, reach: Reach
    ) -> None:
        self._client = client
        self._reference = reference
        self._login = login
        self._reach = reach

    async def manifest(self) -> bytes:
        reference = self._reference
        scheme, host, port = self._reach.address(reference.registry)
        path = f"/v2/{reference.repository}/manifests/{reference.digest or reference.tag}"
        url = httpx.URL(scheme=scheme, host=host, port=port, path=path)
        accept = {"Accept": ", ".join(manifests.ACCEPTED)}
        answer = await self._get(url, accept, limits.IMAGE_MANIFEST_BYTES)
        if answer.status == 401:
            proof = await self._authorise(answer.headers)
            answer = await self._get(url, {**accept, "Authorization": proof}, limits.IMAGE_MANIFEST_BYTES)
        self._check(answer.status)
        return answer.body

    async def _authorise(self, headers: httpx.Headers) -> str:
        """What the registry wants as Authorization, by what it says in WWW-Authenticate."""
        challenges = {c.partition(" ")[0].lower(): c for c in headers.get_list("WWW-Authenticate")}
        if "bearer" in challenges:
            return f"Bearer {await self._token(challenges['bearer'][:HEADER_CHARS])}"
        if "basic" in challenges and self._login is not None:
            return _basic(self._login)
        raise ImageDenied(self._wanted())

    async def _token(self, challenge: str) -> str:
        said = dict(_PARAMETER.findall(challenge))
        realm = self._url(said.get("realm", ""))
        # Never the scope the registry asks for: whatever our login may do, this question needs to read one repository.
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if "service" in said:
            query["service"] = said["service"]
        headers = {"Authorization": _basic(self._login)} if self._login is not None else {}
        answer = await self._get(realm.copy_merge_params(query), headers, TOKEN_BYTES)
        self._check(answer.status)
        try:
            given = msgspec.json.decode(answer.body, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryUnreachable(f"{realm.host} gave something that is no token") from error
        token = given.token or given.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise RegistryUnreachable(f"{realm.host} gave something that is no token")
        return token

    def _check(self, status: int) -> None:
        reference = self._reference
        if status == 200:
            return
        if status == 404:
            raise ImageNotFound(f"{reference.registry} has no image {reference}")
        if status in (401, 403):
            raise ImageDenied(self._wanted())
        if status == 429:
            raise RegistryUnreachable(f"{reference.registry} answers no more questions for now; log in, or wait")
        raise RegistryUnreachable(f"{reference.registry} answered with status {status}")

    def _wanted(self) -> str:
        if self._login is None:
            return f"{self._reference} does not exist, or is private: name a secret with a login (registry_secret)"
        return f"{self._reference} does not exist, or the login does not open it"

    async def _get(self, url: httpx.URL, headers: dict[str, str], most: int) -> _Answer:
        """GET with a bounded answer, following a few redirects; beyond the first host nobody sees who we are."""
        first = (url.scheme, url.host, url.port)
        for _ in range(REDIRECTS + 1):
            answer = await self._get_once(url, headers, most)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = self._url(answer.headers.get("Location", "")[:HEADER_CHARS], url)
            if (url.scheme, url.host, url.port) != first:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise RegistryUnreachable(f"{self._reference.registry} sends us round in circles")

    async def _get_once(self, url: httpx.URL, headers: dict[str, str], most: int) -> _Answer:
        host = url.raw_host.decode()
        try:
            addresses = await self._reach.addresses(
                host, url.port or (HTTPS_PORT if url.scheme == "https" else HTTP_PORT)
            )
        except Unreachable as error:
            raise (RegistryNotAllowed if error.lasting else RegistryUnreachable)(
                f"{self._reference}: {error}"
            ) from error
        why: Exception | None = None
        for address in addresses:
            # By the address that was checked. The name only goes where it says who is meant: to TLS and to the server.
            request = self._client.build_request(
                "GET",
                url.copy_with(host=address),
                headers={"Host": url.netloc.decode(), "Accept-Encoding": "identity", **headers},
                extensions={"sni_hostname": host},
            )
            try:
                return await self._read(request, most)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                why = error
            except httpx.HTTPError as error:
                why = error
                break
        raise RegistryUnreachable(f"{host} cannot be asked: {_said(why)}") from why

    async def _read(self, request: httpx.Request, most: int) -> _Answer:
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > most:
                    raise ImageInvalid(f"{self._reference}: the registry's answer has more than {most} bytes")
            return _Answer(answer.status_code, answer.headers, bytes(body))
        finally:
            await answer.aclose()

    def _url(self, text: str, base: httpx.URL | None = None) -> httpx.URL:
        """An address that the registry told us to go to."""
        try:
            url = base.join(text) if base is not None else httpx.URL(text)
        except httpx.InvalidURL as error:
            raise RegistryUnreachable(f"{self._reference.registry} sends us to an address that is none") from error
        plain = url.scheme == "http" and self._reach.is_plain(url.host, url.port or HTTP_PORT)
        if not url.host or url.userinfo or not (url.scheme == "https" or plain):
            raise RegistryUnreachable(f"{self._reference.registry} sends us to an address without encryption")
        return url


def _basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def _said(error: Exception | None) -> str:
    return str(error)[:200] or type(error).__name__


@functools.cache
def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, an operator's own among them, and Mozilla's."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
