"""What a name stands for, asked of real registries, and what a hostile one cannot make us do."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hypernode.images import references
from hypernode.images import registry as registries
from hypernode.images.reach import Reach
from hypernode.kernel.errors import ImageDenied, ImageInvalid, ImageNotFound, RegistryNotAllowed, RegistryUnreachable
from registries import PASSWORD, USER, Registry, TokenServer, busybox, digest, http, server

LOGIN = (USER, PASSWORD)
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b""), "size": 0},
        "layers": [],
    }
).encode()


async def resolve(name: str, reach: Reach, login: tuple[str, str] | None = None) -> references.Reference:
    return await registries.resolve(references.parse(name), login, reach=reach)


# ------------------------------------------------------------------------------------------------ real registries


async def test_a_tag_becomes_a_digest(registry: Registry) -> None:
    pinned = registry.push("some/tool", busybox(), tag="1.0")
    found = await resolve(f"{registry.address}/some/tool:1.0", registry.reach)
    assert found.pinned == pinned
    assert found.tag == "1.0"
    assert await resolve(str(found), registry.reach) == found


async def test_docker_manifests_and_indexes(registry: Registry) -> None:
    docker = registry.push("some/docker", busybox(), docker=True)
    assert (await resolve(f"{registry.address}/some/docker", registry.reach)).pinned == docker
    amd, arm = (registry.push("some/both", busybox(), architecture=a, tag=a) for a in ("amd64", "arm64"))
    index = registry.push_index("some/both", {"amd64": amd, "arm64": arm})
    assert (await resolve(f"{registry.address}/some/both", registry.reach)).pinned == index


async def test_what_is_not_there(registry: Registry) -> None:
    registry.push("some/tool", busybox(), tag="1.0")
    for name in ("some/tool:2.0", "nothing/here", "some/tool@sha256:" + "0" * 64):
        with pytest.raises(ImageNotFound, match=registry.address):
            await resolve(f"{registry.address}/{name}", registry.reach)


@pytest.mark.parametrize("kind", ["locked_registry", "token_registry"])
async def test_private_images_want_the_login(kind: str, request: pytest.FixtureRequest) -> None:
    private: Registry = request.getfixturevalue(kind)
    pinned = private.push("private/tool", busybox())
    name = f"{private.address}/private/tool"
    assert (await resolve(name, private.reach, LOGIN)).pinned == pinned
    with pytest.raises(ImageDenied, match="registry_secret"):
        await resolve(name, private.reach)
    with pytest.raises(ImageDenied, match="login does not open") as caught:
        await resolve(name, private.reach, (USER, "a wrong password"))
    assert "wrong password" not in str(caught.value)


async def test_a_token_is_asked_for_reading_one_repository(token_registry: Registry, token_server: TokenServer) -> None:
    token_registry.push("private/tool", busybox())
    del token_server.asked[:]
    await resolve(f"{token_registry.address}/private/tool", token_registry.reach, LOGIN)
    assert token_server.asked == [{"scope": ["repository:private/tool:pull"], "service": ["registry"]}]


async def test_a_changed_manifest_is_noticed(registry: Registry) -> None:
    pinned = registry.push("some/changed", busybox(), config={"Cmd": ["changed"]})
    path = registry.blob(pinned.partition("@")[2])
    path.write_bytes(path.read_bytes().replace(b'"layers"', b'"Layers"'))
    # The registry's own header still has the old digest.
    with pytest.raises((ImageInvalid, RegistryUnreachable)):
        await resolve(pinned, registry.reach)


# ------------------------------------------------------------------------------------------------ hostile ones


async def test_the_digest_is_that_of_the_bytes_whatever_the_header_says() -> None:
    lie = "sha256:" + "a" * 64
    async with server(lambda path, headers: http(200, MANIFEST, Docker_Content_Digest=lie)) as address:
        reach = Reach([f"http://{address}"])
        assert (await resolve(f"{address}/some/tool", reach)).digest == digest(MANIFEST)
        with pytest.raises(ImageInvalid, match="something else"):
            await resolve(f"{address}/some/tool@{lie}", reach)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b"\xff" * 100,
        b"[" * 100_000,
        json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(),
        MANIFEST.replace(b"image.config.v1", b"helm.config.v1"),
        MANIFEST.replace(b'"layers": []', b'"layers": [], "manifests": []'),
        MANIFEST.replace(b'"size": 0', b'"size": -1'),
        MANIFEST.replace(b'"layers": []', b'"layers": [' + b",".join([b'{"digest":"x","size":1}'] * 3) + b"]"),
    ],
)
async def test_what_is_no_image_is_refused(body: bytes) -> None:
    async with server(lambda path, headers: http(200, body)) as address:
        with pytest.raises(ImageInvalid):
            await resolve(f"{address}/some/tool", Reach([f"http://{address}"]))


async def test_answers_are_bounded_also_where_they_are_compressed() -> None:
    big = b" " * (5 << 20)
    async with server(lambda path, headers: http(200, big)) as address:
        with pytest.raises(ImageInvalid, match="bytes"):
            await resolve(f"{address}/some/tool", Reach([f"http://{address}"]))
    bomb = gzip.compress(b" " * (100 << 20), 1)
    async with server(lambda path, headers: http(200, bomb, Content_Encoding="gzip")) as address:
        with pytest.raises(ImageInvalid):
            await resolve(f"{address}/some/tool", Reach([f"http://{address}"]))


async def test_an_endless_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries, "RESOLVE_S", 0.3)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as listening:
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        with pytest.raises(RegistryUnreachable, match="within"):
            await resolve(f"{address}/some/tool", Reach([f"http://{address}"]))


async def _refused(address: str, reach: Reach) -> str:
    with pytest.raises((RegistryNotAllowed, RegistryUnreachable)) as caught:
        await resolve(f"{address}/some/tool", reach, LOGIN)
    return str(caught.value)


async def test_private_addresses_are_not_knocked_at() -> None:
    asked: list[str] = []

    def answer(path: str, headers: dict[str, str]) -> bytes:
        asked.append(path)
        return http(200, MANIFEST)

    async with server(answer) as address:
        port = address.rpartition(":")[2]
        hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "0.0.0.0", "2130706433", "127.1", "0x7f.1"]
        said = [await _refused(f"{host}:{port}", Reach()) for host in hosts]
        assert asked == []
        # The same words as for a name that there is not: nobody learns what names our network has.
        nowhere = await _refused(f"nowhere.invalid:{port}", Reach())
        assert {text.partition(" has no ")[2] for text in (*said, nowhere)} == {nowhere.partition(" has no ")[2]}


@pytest.mark.parametrize("way", ["redirect", "realm", "redirect of the token server"])
async def test_nobody_is_sent_on_to_private_addresses(way: str) -> None:
    asked: list[str] = []

    def inner(path: str, headers: dict[str, str]) -> bytes:
        asked.append(path)
        return http(200, MANIFEST)

    async with server(inner) as secret:

        def outer(path: str, headers: dict[str, str]) -> bytes:
            if way == "redirect":
                return http(307, Location=f"http://{secret}/v2/")
            if way == "realm":
                return http(401, WWW_Authenticate=f'Bearer realm="http://{secret}/token",service="x"')
            if path.startswith("/token"):
                return http(302, Location=f"https://{secret}/token")
            return http(401, WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token",service="x"')

        async with server(outer) as address:
            await _refused(address, Reach([f"http://{address}"]))
            assert asked == []


async def test_the_login_does_not_follow_a_redirect_to_elsewhere() -> None:
    seen: list[str | None] = []

    def elsewhere(path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers.get("authorization"))
        return http(200, MANIFEST)

    async with server(elsewhere) as other:

        def first(path: str, headers: dict[str, str]) -> bytes:
            if "authorization" not in headers:
                return http(401, WWW_Authenticate='Basic realm="x"')
            return http(307, Location=f"http://{other}{path}")

        async with server(first) as address:
            reach = Reach([f"http://{address}", f"http://{other}"])
            assert (await resolve(f"{address}/some/tool", reach, LOGIN)).digest == digest(MANIFEST)
            assert seen == [None]


async def test_redirects_in_a_circle_end() -> None:
    async with server(lambda path, headers: http(307, Location=path)) as address:
        assert "circles" in await _refused(address, Reach([f"http://{address}"]))


@pytest.mark.parametrize("token", ["", "x\\r\\nHost: other", "two words", "é"])
async def test_a_token_is_nothing_but_a_token(token: str) -> None:
    def answer(path: str, headers: dict[str, str]) -> bytes:
        if path.startswith("/token"):
            return http(200, b'{"token": "' + token.encode() + b'"}')
        return http(401, WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token"')

    async with server(answer) as address:
        assert "no token" in await _refused(address, Reach([f"http://{address}"]))


# ------------------------------------------------------------------------------------------------ encryption


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(("name", "right"), [("localhost", True), ("registry.example", False)])
async def test_a_certificate_has_to_be_for_the_name_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, right: bool
) -> None:
    context = _certificate(tmp_path, name)
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    monkeypatch.setattr(registries, "_trust", lambda: trusting)
    hosts: list[str] = []

    def answer(path: str, headers: dict[str, str]) -> bytes:
        hosts.append(headers["host"])
        return http(200, MANIFEST)

    async with server(answer, context) as address:
        place = f"localhost:{address.rpartition(':')[2]}"
        if right:
            assert (await resolve(f"{place}/some/tool", Reach([place]))).digest == digest(MANIFEST)
            assert hosts == [place]
        else:
            assert "certificate" in await _refused(place, Reach([place]))
            assert hosts == []


async def test_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    async with server(lambda path, headers: http(200, MANIFEST), _certificate(tmp_path, "localhost")) as address:
        place = f"localhost:{address.rpartition(':')[2]}"
        assert "certificate" in await _refused(place, Reach([place]))


async def test_http_is_only_spoken_where_the_operator_says_so(registry: Registry) -> None:
    await _refused(registry.address, Reach([registry.address]))
