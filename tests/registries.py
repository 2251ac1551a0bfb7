"""Real registries on loopback, and real images in them.

`registry` takes everything from everybody, `locked_registry` wants a login, `token_registry` wants a token, which a
server of its own gives for a login. Images are made here, blob by blob, so that tests can make any that a stranger
could make.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from hypernode.images.reach import Reach

USER, PASSWORD = "reader", "open sesame"
# bcrypt, with the least work that it allows.
_HTPASSWD = "reader:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


# ------------------------------------------------------------------------------------------------ images


@dataclass
class Entry:
    """One member of a layer: a file with `data`, unless `kind` says otherwise."""

    name: str
    data: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    owner: int = 0


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, mode=mode, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def layer(*entries: Entry) -> bytes:
    """A layer, not compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.target
            info.uid = info.gid = entry.owner
            info.size = len(entry.data) if entry.kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(entry.data) if info.size else None)
    return buffer.getvalue()


def busybox(*more: Entry) -> bytes:
    """A layer with a shell and the usual small tools."""
    program = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    tools = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    return layer(
        folder("bin"),
        Entry("bin/busybox", program, mode=0o755),
        *(link(f"bin/{tool}", "busybox") for tool in tools if tool != "busybox"),
        folder("etc"),
        Entry("etc/os-release", b"NAME=busybox\n"),
        *more,
    )


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """One running registry."""

    address: str
    """`127.0.0.1:PORT`."""
    storage: Path
    login: tuple[str, str] | None = None
    extra: tuple[str, ...] = ()
    """Other servers one is sent to, as `Reach` takes them."""
    log: Path = field(default_factory=Path)
    writer: Callable[[str], dict[str, str]] = lambda repository: {}
    """Headers that open a repository for writing."""

    @property
    def reach(self) -> Reach:
        """What lets the coordinator and nodes talk to it."""
        return Reach([f"http://{self.address}", *self.extra])

    def blob(self, of: str) -> Path:
        """Where a blob lies on the registry's disk."""
        hexadecimal = of.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"

    def requests(self, text: str) -> list[str]:
        """The lines of its access log that contain `text`."""
        return [line for line in self.log.read_text().splitlines() if text in line]

    def push(
        self,
        repository: str,
        *layers: bytes,
        config: Mapping[str, Any] | None = None,
        tag: str = "latest",
        architecture: str = ARCHITECTURE,
        docker: bool = False,
        compress: bool = True,
    ) -> str:
        """Store an image of these layers and return its pinned name. `config` is the `config` of its configuration."""
        with self._client(repository) as client:
            packed = [gzip.compress(raw, 1, mtime=0) if compress else raw for raw in layers]
            document = {
                "architecture": architecture,
                "os": "linux",
                "config": dict(config or {}),
                "rootfs": {"type": "layers", "diff_ids": [digest(raw) for raw in layers]},
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
                "config": {
                    "mediaType": DOCKER_CONFIG if docker else CONFIG,
                    **self._put_blob(client, repository, json.dumps(document).encode()),
                },
                "layers": [
                    {
                        "mediaType": (DOCKER_LAYER if docker else LAYER).removesuffix("" if compress else "+gzip"),
                        **self._put_blob(client, repository, blob),
                    }
                    for blob in packed
                ],
            }
            return self.put(repository, manifest, tag=tag)

    def push_index(self, repository: str, variants: Mapping[str, str], tag: str = "latest") -> str:
        """Store an index of pinned names of this repository by architecture, and return its pinned name."""
        manifests = []
        for architecture, name in variants.items():
            of = name.partition("@")[2]
            size = self.blob(of).stat().st_size
            place = {"os": "linux", "architecture": architecture}
            manifests.append({"mediaType": MANIFEST, "digest": of, "size": size, "platform": place})
        return self.put(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, tag=tag)

    def put(self, repository: str, manifest: Mapping[str, Any], tag: str = "latest") -> str:
        """Store a manifest or index as it is."""
        data = json.dumps(manifest).encode()
        with self._client(repository) as client:
            answer = client.put(
                f"/v2/{repository}/manifests/{tag}", content=data, headers={"Content-Type": str(manifest["mediaType"])}
            )
        assert answer.status_code == 201, answer.text
        return f"{self.address}/{repository}@{digest(data)}"

    def _put_blob(self, client: httpx.Client, repository: str, data: bytes) -> dict[str, Any]:
        started = client.post(f"/v2/{repository}/blobs/uploads/")
        assert started.status_code == 202, started.text
        place = httpx.URL(started.headers["Location"]).copy_merge_params({"digest": digest(data)})
        answer = client.put(place, content=data, headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code == 201, answer.text
        return {"digest": digest(data), "size": len(data)}

    def _client(self, repository: str) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.address}", headers=self.writer(repository), timeout=60)


# ------------------------------------------------------------------------------------------------ servers


@contextmanager
def serving(folder: Path, auth: str = "", **more: Any) -> Iterator[Registry]:
    """A registry below `folder`, for as long as the block runs. `auth` is that part of its configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    storage, log = folder / "storage", folder / "log"
    storage.mkdir(parents=True)
    (folder / "config.yml").write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: false}}\n"
        f"storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{address}', secret: not-a-secret}}\n" + auth
    )
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        _wait(process, address, log)
        yield Registry(address, storage, log=log, **more)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"http://{address}/v2/", trust_env=False)
            return
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the registry did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.01)


class TokenServer:
    """Gives tokens to those who log in, as the registry's token specification says, and remembers what was asked."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=12))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._key = key
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        folder.mkdir(parents=True)
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.asked: list[dict[str, list[str]]] = []
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                tokens.asked.append(query)
                login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") != f"Basic {login}":
                    self.send_error(401)
                    return
                repository = query["scope"][0].split(":")[1]
                body = json.dumps({"token": tokens.token(repository, ["pull"])}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, repository: str, actions: Sequence[str]) -> str:
        """A signed token for one repository."""
        now = int(time.time())
        claims = {
            "iss": "tokens",
            "sub": USER,
            "aud": "registry",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
            "jti": "1",
            "access": [{"type": "repository", "name": repository, "actions": list(actions)}],
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ------------------------------------------------------------------------------------------------ liars

Answer = Callable[[str, dict[str, str]], bytes]


@asynccontextmanager
async def server(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers each request, a path and headers, with the bytes that `answer` gives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await request_head(reader)).decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            writer.write(answer(head[0].split()[1], headers))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def request_head(reader: asyncio.StreamReader) -> bytes:
    """The next request, without a body. Whoever tries encryption first is turned away, rather than left waiting."""
    first = await reader.readexactly(1)
    if first == b"\x16":
        raise ConnectionError("no encryption here")
    return first + await reader.readuntil(b"\r\n\r\n")


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ------------------------------------------------------------------------------------------------ fixtures


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that anybody may read and write."""
    with serving(tmp_path_factory.mktemp("registry") / "open") as registry:
        yield registry


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants USER and PASSWORD."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: locked, path: {folder}/htpasswd}}}}\n"
    proof = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with serving(
        folder / "locked", auth, login=(USER, PASSWORD), writer=lambda _: {"Authorization": proof}
    ) as registry:
        yield registry


@pytest.fixture(scope="session")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    """What gives the tokens for `token_registry`."""
    server = TokenServer(tmp_path_factory.mktemp("registry") / "tokens")
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory, token_server: TokenServer) -> Iterator[Registry]:
    """A registry that wants a token, for one repository at a time."""
    auth = (
        f"auth: {{token: {{realm: 'http://{token_server.address}/token', service: registry, issuer: tokens, "
        f"rootcertbundle: {token_server.bundle}}}}}\n"
    )
    with serving(
        tmp_path_factory.mktemp("registry") / "token",
        auth,
        login=(USER, PASSWORD),
        extra=(f"http://{token_server.address}",),
        writer=lambda repository: {"Authorization": f"Bearer {token_server.token(repository, ['pull', 'push'])}"},
    ) as registry:
        yield registry


@pytest.fixture(scope="session")
def registries_conf(
    tmp_path_factory: pytest.TempPathFactory, registry: Registry, locked_registry: Registry, token_registry: Registry
) -> Path:
    """What CONTAINERS_REGISTRIES_CONF has to name, so that tools of this host talk to them without encryption."""
    path = tmp_path_factory.mktemp("registries") / "registries.conf"
    path.write_text(
        "".join(
            f'[[registry]]\nlocation = "{each.address}"\ninsecure = true\n\n'
            for each in (registry, locked_registry, token_registry)
        )
    )
    return path


@pytest.fixture(scope="session")
def busybox_image(registry: Registry) -> str:
    """The pinned name of an image of 2 MB with a shell: its environment has GREETING, its command shows it."""
    config = {
        "Env": ["PATH=/bin", "GREETING=hello from the image"],
        "Cmd": ["/bin/sh", "-c", "echo $GREETING"],
        "WorkingDir": "/work",
    }
    return registry.push("tools/busybox", busybox(folder("work"), Entry("work/note", b"a note\n")), config=config)


@pytest.fixture(scope="session")
def python_image(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pinned name of an image of Debian with Python, 60 MB. Made once a session, in five seconds."""
    archive = tmp_path_factory.mktemp("debian") / "python.tar"
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
    packages = "--include=python3-minimal,libpython3-stdlib"
    done = subprocess.run([*command, packages, "bookworm", str(archive)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    config = {"Env": ["PATH=/usr/bin:/bin"], "Entrypoint": ["/usr/bin/python3"], "Cmd": ["--version"]}
    return registry.push("debian/python", archive.read_bytes(), config=config)
