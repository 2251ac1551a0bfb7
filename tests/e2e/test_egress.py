"""A whole network whose jobs are let out to one host, in a little internet of its own."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.network import Net, hypernode, py, until
from hypernode.client import Client
from hypernode.coordinator.local import LocalNetwork
from hypernode.ledger.receipt import Traffic
from hypernode.nodes.model import NodeState
from integration import internet as places
from integration.internet import Internet, internet

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="networks of its own need Linux and root"
)

FETCH = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode().partition(":")[0])
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nforty-two!"


class Server:
    """Answers every request with the same, and counts."""

    def __init__(self, listening: socket.socket) -> None:
        self.read = 0
        self.written = 0
        self._listening = listening
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
                    head += data
                self.read += len(head)
                connection.sendall(ANSWER)
                self.written += len(ANSWER)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@pytest.fixture(scope="module")
def out_there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with internet(tmp_path_factory.mktemp("internet")) as out_there:
        yield out_there


@pytest.fixture(scope="module")
def net(out_there: Internet, place: Path) -> Iterator[Net]:
    with LocalNetwork(place / "egress", nodes=1) as network:
        net = Net(network)
        yield net
        net.check_ledger()
        net.end()


@pytest.fixture
def servers(out_there: Internet) -> Iterator[tuple[Server, Server]]:
    """The host that is allowed, and another one."""
    found = Server(out_there.listen(places.ALLOWED, 80)), Server(out_there.listen(places.OTHER, 80))
    yield found
    for server in found:
        server.close()


def test_run_reaches_the_host_it_allows_and_no_other(net: Net, servers: tuple[Server, Server], tmp_path: Path) -> None:
    allowed, other = servers
    here = {"HYPERNODE_URL": net.network.url, "HYPERNODE_API_KEY": net.network.client_key}
    options = ["--timeout", "1m", "--memory", "128MiB", "--disk", "16MiB", "--allow-host", "allowed.example:80"]
    urls = ["http://allowed.example/", "http://other.example/", "http://allowed.example:81/", f"http://{places.OTHER}/"]
    done = hypernode("run", *options, "--", "python", "-c", FETCH, *urls, **here)
    refused = "403 egress.not_allowed\n"
    assert (done.returncode, done.stdout) == (0, "forty-two!\n" + 3 * refused), done.stderr
    (receipt,) = net.check_receipts(next(iter(net.client.jobs())).id)
    assert receipt.body.run.egress == Traffic(sent_bytes=allowed.read, received_bytes=allowed.written)
    assert other.read == 0


def test_nothing_is_reached_that_the_node_could_and_strangers_may_not(net: Net, servers: tuple[Server, Server]) -> None:
    """The coordinator's own API, for one: it is right beside the node."""
    host, port = net.network.url.removeprefix("http://").split(":")
    names = [("loopback.example", int(port)), (host, int(port)), ("rebinding.example", 80), (places.METADATA, 80)]
    urls = [f"http://{name}:{number}/" for name, number in names]
    egress = [{"host": name, "port": number} for name, number in names]
    always = {"NO_PROXY": "", "no_proxy": ""}  # or the first two would not even be asked for
    job = net.run(py(FETCH, *urls, network={"egress": egress}, environment=always))
    assert job.state == "succeeded"
    assert net.output(job) == len(names) * "403 egress.not_public\n"
    (receipt,) = net.check_receipts(job)
    assert receipt.body.run.egress == Traffic(sent_bytes=0, received_bytes=0)


def test_jobs_go_to_nodes_that_let_them_out(net: Net, servers: tuple[Server, Server]) -> None:
    net.add_node("shut", "--no-egress")
    with Client(net.network.url, net.network.operator_key) as operator:
        until(lambda: [node.state for node in operator.nodes()] == [NodeState.ONLINE] * 2)
    job = py(FETCH, "http://allowed.example/", network={"egress": [{"host": "allowed.example", "port": 80}]})
    quote = net.client.quote(job)
    assert [node.name for node in quote.eligible] == ["node-1"]
    assert [(one.code, one.nodes) for one in quote.excluded] == [("egress", 1)]
    ended = [net.run(job) for _ in range(2)]
    assert {net.name_of(attempt.node) for one in ended for attempt in net.attempts(one)} == {"node-1"}
    assert {net.output(one) for one in ended} == {"forty-two!\n"}
