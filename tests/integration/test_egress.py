"""Jobs that may reach one host reach it, and nothing else: real sandboxes, real agents, in a little internet."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent.agent import Agent
from hypernode.agent.egress.probe import probe
from hypernode.agent.environments import EnvironmentCache
from hypernode.agent.home import Policy
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Capabilities, Mount, Reason, SandboxError, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.jobs.logs import FrameReader
from hypernode.jobs.model import JobDocument
from hypernode.ledger.receipt import Outcome, Traffic
from hypernode.protocol.messages import Cancel, LeaseRef, Refuse, Running
from integration import internet as places
from integration.agent_fake import Fake, job, make_home, serving
from integration.certificates import certificate
from integration.egress_contract import ListenContract, python, run
from integration.internet import Internet, internet

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="the full sandbox, and networks of its own, need Linux and root",
)
MIB = 1 << 20

TRY = """
import json, os, socket, ssl, sys, urllib.error, urllib.request

PROXY = os.environ.get("HTTPS_PROXY", "").removeprefix("http://").partition(":")
said = {}

def fetch(url, **options):
    try:
        with urllib.request.urlopen(url, timeout=20, **options) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return f"{type(error).__name__} {error}"

def through(request):
    try:
        with socket.create_connection((PROXY[0], int(PROXY[2])), 20) as s:
            s.sendall(request.encode())
            return s.makefile("rb").readline().decode().strip()
    except OSError as error:
        return f"{type(error).__name__} {error}"

def directly(kind, family, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            s.send(b"x")
            return "OPEN"
    except OSError as error:
        return type(error).__name__
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with internet(tmp_path_factory.mktemp("internet")) as net:
        yield net


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("egress-store")


@pytest.fixture(scope="module")
def interpreter(store: Path) -> Interpreter:
    return interpreters.prepare(store)


@pytest.fixture
async def sandbox(tmp_path: Path, interpreter: Interpreter) -> AsyncIterator[BubblewrapSandbox]:
    sandbox = BubblewrapSandbox(tmp_path / "home", interpreter)
    try:
        yield sandbox
    finally:
        await sandbox.close()


class Proved(BubblewrapSandbox):
    """The real sandbox, taken at its word about its limits; whether it lets jobs out is tried."""

    async def probe(self) -> Capabilities:
        return Capabilities(backend="bubblewrap", isolation=2, proved=(), failed=())


class Node:
    """An agent and its fake coordinator."""

    def __init__(self, fake: Fake, agent: Agent) -> None:
        self.fake = fake
        self.agent = agent

    async def run(self, document: JobDocument) -> tuple[Any, Traffic | None]:
        """What a job that prints JSON said, and its traffic."""
        lease = self.fake.lease(document)
        body = await self.fake.result()
        assert (body.work.outcome, body.work.exit_code) == (Outcome.EXITED, 0), self.everything(lease)
        return json.loads(self.fake.text(lease)), body.run.egress

    def everything(self, lease: LeaseRef) -> str:
        frames = FrameReader().feed(bytes(self.fake.logs.get(lease, b"")))
        return b"".join(frame.data for frame in frames).decode()


@asynccontextmanager
async def running_node(path: Path, interpreter: Interpreter, store: Path, **policy: Any) -> AsyncIterator[Node]:
    async with serving(Fake()) as fake:
        home = make_home(path, fake, policy=Policy(slots=4, **policy))
        (home.store / "python").symlink_to(store / "python")
        environments = EnvironmentCache(store / "environments", interpreter)
        agent = Agent(home, sandbox=Proved(home.sandbox, interpreter), environments=environments, wasm=False)
        running = asyncio.create_task(agent.run())
        welcomed = asyncio.create_task(fake.welcomed.wait())
        await asyncio.wait({running, welcomed}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            welcomed.cancel()
            running.result()
        try:
            yield Node(fake, agent)
        finally:
            agent.stop(now=True)
            await running


@pytest.fixture
async def node(net: Internet, tmp_path: Path, interpreter: Interpreter, store: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path / "node", interpreter, store) as node:
        yield node


def asking(code: str, *destinations: tuple[str, int], **fields: Any) -> JobDocument:
    """A job that may reach these."""
    bound = {"egress_bytes": fields.pop("egress_bytes")} if "egress_bytes" in fields else {}
    egress = [{"host": host, "port": port} for host, port in destinations]
    return job(TRY + code, network={"egress": egress, **bound}, **fields)


class Server:
    """Something out there that counts what it reads and writes, and says what it is asked for."""

    def __init__(self) -> None:
        self.connections = 0
        self.read = 0
        self.written = 0
        self.idle = asyncio.Event()
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.idle.clear()
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.idle.set()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.read += len(head)
        self.heads.append(head.decode())
        path = head.split(b" ")[1].decode()
        answer = f"you asked for {path}".encode()
        if path == "/redirect":
            await self._say(
                writer, b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n"
            )
            return
        if path == "/take":
            while data := await reader.read(MIB):
                self.read += len(data)
            return
        if path == "/give":
            while True:
                await self._say(writer, b"x" * MIB)
        if path.startswith("/give/"):
            answer = b"x" * int(path.rpartition("/")[2])
        elif b"Content-Length: " in head:
            length = int(head.split(b"Content-Length: ")[1].split()[0])
            while length:
                data = await reader.read(min(length, MIB))
                length -= len(data)
                self.read += len(data)
        await self._say(writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer))
        await self._say(writer, answer)

    async def _say(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), MIB):
            piece = data[start : start + MIB]
            writer.write(piece)
            await writer.drain()
            self.written += len(piece)


@asynccontextmanager
async def serve(net: Internet, *where: tuple[str, int], tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """One server at all these places out there."""
    server = Server()
    async with AsyncExitStack() as stack:
        for address, port in where:
            out_there = address not in (places.NODE, places.NODE_PUBLIC, "127.0.0.1", "::1")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = net.listen(address, port) if out_there else socket.create_server((address, port), family=family)
            stack.enter_context(sock)
            listening = await asyncio.start_server(server.serve, sock=sock, ssl=tls)
            stack.callback(listening.close)
        yield server


class TestBubblewrap(ListenContract):
    async def test_a_sandbox_that_cannot_be_built_has_no_inside(
        self, sandbox: BubblewrapSandbox, interpreter: Interpreter, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("x")
        task = python(interpreter, "pass")
        broken = Task(**{**_fields(task), "mounts": (Mount(tmp_path / "file", "/usr/bin/new/place"),)})
        await sandbox.prepare(broken)
        async with asyncio.timeout(10):
            with suppress(SandboxError):
                while True:  # its network may be there for a moment before the rest fails
                    (await sandbox.listen(task.key)).close()
        outcome, _ = await run(sandbox, broken)
        assert outcome.reason is Reason.INFRASTRUCTURE
        await sandbox.release(task.key)

    async def test_who_runs_already_gets_no_socket(self, sandbox: BubblewrapSandbox, interpreter: Interpreter) -> None:
        task = python(interpreter, "import time; print('here', flush=True); time.sleep(60)")
        await sandbox.prepare(task)
        here = asyncio.Event()
        running = asyncio.create_task(sandbox.run(task, lambda stream, data: here.set()))
        await here.wait()
        with pytest.raises(SandboxError, match="started") as refused:
            await sandbox.listen(task.key)
        assert refused.value.code == "sandbox.no_network"
        await sandbox.release(task.key)
        await running

    async def test_a_task_in_the_hosts_network_gets_no_socket_there(
        self, sandbox: BubblewrapSandbox, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A backend that forgot to give the task its own network is found out, and listens nowhere."""
        real = sandbox._request

        def open_world(task: Task) -> dict[str, Any]:
            request = real(task)
            request["options"].insert(request["options"].index("--proc"), "--share-net")
            return request

        monkeypatch.setattr(sandbox, "_request", open_world)
        failure = await probe(sandbox, interpreter)
        assert failure is not None
        assert failure.limit == "egress"
        assert "no network of its own" in failure.remedy


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


async def test_an_ordinary_users_sandbox_lets_tasks_out_too(tmp_path: Path) -> None:
    """In a process of its own, as nobody, with this Python made reachable in a mount namespace."""
    script = """
import asyncio, os, sys
from pathlib import Path
from hypernode.agent import interpreter
from hypernode.agent.egress.probe import probe
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
async def main(home):
    python = interpreter.prepare(home / "store")
    sandbox = BubblewrapSandbox(home / "home", python)
    print(os.geteuid(), await probe(sandbox, python))
    await sandbox.close()
asyncio.run(main(Path(sys.argv[1])))
"""
    home = tmp_path / "nobody"
    home.mkdir()
    os.chown(home, 65534, 65534)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    prefix = Path(sys.base_prefix)
    private = next((p for p in (*reversed(prefix.parents), prefix) if not p.stat().st_mode & 0o001), None)
    reach = ":"
    if private is not None:
        reach = (
            f"mkdir {tmp_path}/python && mount --bind {prefix} {tmp_path}/python"
            f" && mount -t tmpfs -o mode=755 none {private} && mkdir -p {prefix}"
            f" && mount --bind {tmp_path}/python {prefix}"
        )
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "script.py").chmod(0o644)
    command = f'{reach} && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-m", "sh", "-c", command, "sh", sys.executable, str(tmp_path / "script.py"), str(home)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "65534 None\n", done.stderr


# ------------------------------------------------------------------------------------------------ one host


async def test_a_job_reaches_the_host_it_names_and_nothing_else(net: Internet, node: Node, tmp_path: Path) -> None:
    authority, context = certificate(tmp_path, "allowed.example", "six.example", "a.wild.example")
    named = ["allowed.example", "six.example", "*.wild.example", "mixed.example"]
    lying = [
        *("rebinding.example", "metadata.example", "loopback.example", "node.example", "node-public.example"),
        *("neighbour.example", "routed.example", "shared.example", "private-six.example", "mapped.example"),
        *(places.PRIVATE, places.METADATA, "127.0.0.1", places.NODE_PUBLIC, places.NEIGHBOUR_PUBLIC, places.PRIVATE_6),
    ]
    destinations = [(host, 443) for host in (*named, *lying)]
    destinations += [("allowed.example", 80), ("unknown.example", 443), ("allowed.example", 81)]
    refused_by_name = [
        *("other.example:443", "alias.example:443", "wild.example:443", "allowed.example:8443", "other.example:80"),
        *(f"{places.ALLOWED}:443", f"{places.OTHER}:443", f"[{places.ALLOWED_6}]:443", "localhost:443", "x.org:443"),
        *("185270529:443", "0xb010101:443", "allowed.example.evil.example:443", f"[::ffff:{places.ALLOWED}]:443"),
    ]
    code = f"""
import ssl
trust = ssl.create_default_context(cafile="/in/ca.pem")
for name in ("allowed", "six", "a.wild", "mixed"):
    check = ssl.create_default_context(cafile="/in/ca.pem")
    check.check_hostname = name != "mixed"
    said[name] = fetch(f"https://{{name}}.example/{{name}}", context=check)
said["plain"] = fetch("http://allowed.example/plain")
said["redirect"] = fetch("http://allowed.example/redirect")
said["other name"] = through("GET http://allowed.example/ HTTP/1.1\\r\\nHost: other.example\\r\\n\\r\\n")
said["nobody there"] = through("CONNECT allowed.example:81 HTTP/1.1\\r\\n\\r\\n")
said["unknown"] = through("CONNECT unknown.example:443 HTTP/1.1\\r\\n\\r\\n")
said["names"] = [through(f"CONNECT {{place}} HTTP/1.1\\r\\n\\r\\n") for place in {refused_by_name!r}]
said["urls"] = [through(f"GET http://{{place}}/ HTTP/1.1\\r\\n\\r\\n") for place in {refused_by_name!r}]
bracket = lambda host: f"[{{host}}]" if ":" in host else host
said["addresses"] = [through(f"CONNECT {{bracket(host)}}:443 HTTP/1.1\\r\\n\\r\\n") for host in {lying!r}]
said["direct"] = [
    directly(kind, socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for port in (80, 443, 53)
    for address in {[places.ALLOWED, places.OTHER, places.PRIVATE, places.METADATA, places.NODE, places.ALLOWED_6]!r}
]
said["dns"] = "none"
try:
    said["dns"] = socket.gethostbyname("allowed.example")
except OSError:
    pass
print(json.dumps(said))
"""
    ca = node.fake.add(authority)
    document = asking(code, *destinations, inputs={"ca.pem": {"sha256": ca.sha256, "size_bytes": ca.size_bytes}})
    elsewhere = [
        *(
            (places.OTHER, 80),
            (places.OTHER, 443),
            (places.ALLOWED, 8443),
            (places.PRIVATE, 443),
            (places.METADATA, 80),
        ),
        *(
            (places.METADATA, 443),
            (places.ROUTED, 443),
            (places.SHARED, 443),
            (places.NODE, 443),
            (places.NODE_PUBLIC, 443),
        ),
        *((places.NEIGHBOUR_PUBLIC, 443), (places.PRIVATE_6, 443), ("127.0.0.1", 443), ("::1", 443)),
    ]
    async with (
        serve(net, (places.ALLOWED, 443), (places.ALLOWED_6, 443), tls=context) as secure,
        serve(net, (places.ALLOWED, 80)) as plain,
        serve(net, *elsewhere) as forbidden,
    ):
        said, traffic = await node.run(document)
    for name in ("allowed", "six", "a.wild", "mixed"):
        assert said[name] == f"you asked for /{name}", said[name]
    assert said["plain"] == "you asked for /plain"
    assert said["redirect"].startswith("403 egress.not_allowed: other.example port 80 is not among"), said["redirect"]
    assert said["other name"] == "HTTP/1.1 200 OK"
    assert "Host: allowed.example\r\n" in plain.heads[-1]
    assert "other.example" not in "".join(plain.heads)
    assert said["nobody there"].startswith("HTTP/1.1 502 egress.unreachable: allowed.example refuses"), said
    assert said["unknown"].startswith("HTTP/1.1 502 egress.lookup_failed: unknown.example"), said
    assert {line.split(":")[0] for line in said["names"] + said["urls"][:5]} == {"HTTP/1.1 403 egress.not_allowed"}
    assert {line.split()[1] for line in said["urls"]} == {"403"}
    assert {line.split(":")[0] for line in said["addresses"]} == {"HTTP/1.1 403 egress.not_public"}
    assert "OPEN" not in said["direct"]
    assert "TimeoutError" not in said["direct"], "nothing may even set out"
    assert said["dns"] == "none"
    assert forbidden.connections == 0
    assert secure.connections == 4
    assert traffic is not None
    assert traffic.sent_bytes > plain.read
    assert traffic.received_bytes > plain.written


async def test_two_jobs_at_once_have_what_each_asked_for(net: Internet, node: Node) -> None:
    code = """
for host in ("allowed.example", "other.example"):
    said[host] = fetch(f"http://{host}/x")
print(json.dumps(said))
"""
    async with serve(net, (places.ALLOWED, 80), (places.OTHER, 80)):
        leases = {host: node.fake.lease(asking(code, (host, 80))) for host in ("allowed.example", "other.example")}
        for _ in leases:
            assert (await node.fake.result()).run.egress is not None
    for host, lease in leases.items():
        said = json.loads(node.fake.text(lease))
        assert said.pop(host) == "you asked for /x"
        assert all(answer.startswith("403 egress.not_allowed") for answer in said.values())


async def test_the_jobs_own_variables_win(net: Internet, node: Node) -> None:
    code = "print(json.dumps({n: v for n, v in os.environ.items() if n.lower().endswith('_proxy')}))"
    said, _ = await node.run(asking(code, ("allowed.example", 80), environment={"https_proxy": "mine"}))
    there = "http://127.0.0.1:3128"
    assert said == {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"), there),
        "https_proxy": "mine",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
    }


async def test_a_job_that_asks_for_nothing_has_nothing(net: Internet, node: Node) -> None:
    code = """
said["variables"] = [name for name in os.environ if name.lower().endswith("_proxy")]
said["proxy"] = directly(socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", 3128))
print(json.dumps(said))
"""
    said, traffic = await node.run(job(TRY + code))
    assert said == {"variables": [], "proxy": "ConnectionRefusedError"}
    assert traffic is None


# ------------------------------------------------------------------------------------------------ bytes


async def test_the_receipt_says_what_the_host_counted(net: Internet, node: Node) -> None:
    code = """
import concurrent.futures
request = urllib.request.Request("http://allowed.example/put", data=b"x" * 3_000_001, method="PUT")
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    given = [pool.submit(fetch, f"http://allowed.example/give/{size}") for size in (0, 1, 2_000_003, 5_000_000)]
    said["put"] = fetch(request)
    said["given"] = [len(future.result()) for future in given]
with socket.create_connection((PROXY[0], int(PROXY[2])), 20) as s:
    s.sendall(b"CONNECT allowed.example:80 HTTP/1.1\\r\\n\\r\\n")
    s.recv(1000)
    s.sendall(b"PUT /take HTTP/1.1\\r\\n\\r\\n" + b"y" * 1_000_000)  # and ends at once
print(json.dumps(said))
"""
    async with serve(net, (places.ALLOWED, 80)) as server:
        said, traffic = await node.run(asking(code, ("allowed.example", 80)))
        await server.idle.wait()
    assert said == {"put": "you asked for /put", "given": [0, 1, 2_000_003, 5_000_000]}
    assert traffic == Traffic(sent_bytes=server.read, received_bytes=server.written)


async def test_the_limit_cuts_and_the_log_says_so(net: Internet, node: Node) -> None:
    code = """
said["much"] = fetch("http://allowed.example/give/50000000")[:20]
said["more"] = fetch("http://allowed.example/")
print(json.dumps(said))
"""
    async with serve(net, (places.ALLOWED, 80)):
        lease = node.fake.lease(asking(code, ("allowed.example", 80), egress_bytes=MIB))
        body = await node.fake.result()
    said = json.loads(node.fake.text(lease))
    assert "Error" in said["much"]
    assert said["more"].startswith("403 egress.used_up: the task has used up its 1048576 bytes")
    traffic = body.run.egress
    assert traffic is not None
    assert traffic.sent_bytes + traffic.received_bytes == MIB
    note = "hypernode: the 1048576 bytes of egress_bytes were used up; connections were cut\n"
    assert node.fake.text(lease, 2) == note


@pytest.mark.parametrize("direction", ["take", "give"])
async def test_a_job_killed_in_the_middle_of_a_transfer(net: Internet, node: Node, direction: str) -> None:
    code = f"""
s = socket.create_connection((PROXY[0], int(PROXY[2])), 20)
s.sendall(b"CONNECT allowed.example:80 HTTP/1.1\\r\\n\\r\\n")
s.recv(1000)
s.sendall(b"GET /{direction} HTTP/1.1\\r\\n\\r\\n")
moved = 0
while True:
    moved += len(s.recv(1 << 20)) if {direction == "give"} else s.send(b"x" * (1 << 20))
    if moved > 8 << 20:
        print("going", flush=True)
        moved = -(1 << 60)
"""
    async with serve(net, (places.ALLOWED, 80)) as server:
        lease = node.fake.lease(asking(code, ("allowed.example", 80)))
        await node.fake.next(Running)
        async with asyncio.timeout(30):
            while "going" not in node.fake.text(lease):
                node.fake.log_arrived.clear()
                await node.fake.log_arrived.wait()
        node.fake.send(Cancel(lease))
        body = await node.fake.result()
        async with asyncio.timeout(10):
            await server.idle.wait()
    traffic = body.run.egress
    assert traffic is not None
    assert body.work.outcome is Outcome.CANCELLED
    if direction == "take":
        assert traffic.sent_bytes == server.read > 4 * MIB
        assert traffic.received_bytes == 0
    else:
        assert traffic.sent_bytes == server.read
        assert 8 * MIB < traffic.received_bytes <= server.written + MIB


# ------------------------------------------------------------------------------------------------ what a node offers


async def test_a_node_offers_what_it_has_seen_to_work(node: Node) -> None:
    (offer,) = node.agent.capabilities().sandboxes
    assert offer.egress
    assert offer.failed == ()


async def test_an_owner_may_forbid_it(net: Internet, tmp_path: Path, interpreter: Interpreter, store: Path) -> None:
    async with running_node(tmp_path / "node", interpreter, store, egress=False) as node:
        (offer,) = node.agent.capabilities().sandboxes
        assert not offer.egress
        assert offer.failed == (), "what is not wanted has not failed"
        node.fake.lease(asking("print(1)", ("allowed.example", 443)))
        refusal = await node.fake.next(Refuse)
        assert refusal.code == "node.no_network"
