"""What a task may reach, and how its requests are read: decisions without any network."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.agent import plan
from hypernode.agent.egress import networks, policy
from hypernode.agent.egress.refusal import Refused
from hypernode.agent.egress.request import Request, parse
from hypernode.agent.sandboxes.base import Image
from hypernode.jobs import model as jobs
from hypernode.jobs.model import Destination
from hypernode.protocol.messages import LeaseRef

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).map(lambda name: f"{name}.org")
PORTS = st.integers(1, 65535)


# ------------------------------------------------------------------------------------------------ destinations


@given(NAMES, PORTS, NAMES, PORTS)
def test_a_name_allows_itself_on_its_port_and_nothing_else(name: str, port: int, other: str, elsewhere: int) -> None:
    entry = (Destination(name, port),)
    assert policy.allows(entry, name, port)
    assert policy.allows(entry, other, elsewhere) == ((other, elsewhere) == (name, port))
    assert not policy.allows(entry, f"www.{name}", port)


@given(NAMES, LABELS, NAMES)
def test_a_wildcard_allows_what_is_below_it_and_nothing_else(name: str, label: str, other: str) -> None:
    entry = (Destination(f"*.{name}"),)
    assert policy.allows(entry, f"{label}.{name}", 443)
    assert policy.allows(entry, f"a.{label}.{name}", 443)
    assert not policy.allows(entry, name, 443)
    assert not policy.allows(entry, f"{label}{name}", 443), "a suffix of letters is no name below"
    assert not policy.allows(entry, f"{label}.{name}", 80)
    assert policy.allows(entry, other, 443) == other.endswith(f".{name}")


@given(st.ip_addresses(), st.ip_addresses())
def test_an_address_allows_only_itself(address: object, other: object) -> None:
    text = str(address)
    if text.startswith("::ffff:"):
        return  # documents write those as version 4
    entry = (Destination(text), Destination("*.org"))
    assert policy.allows(entry, policy.normal_host(text), 443)
    assert policy.allows(entry, policy.normal_host(str(other)), 443) == (other == address)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("1.2.3.4", "1.2.3.4"),
        ("2606:4700:0:0::0001", "2606:4700::1"),
        ("::ffff:1.2.3.4", "::ffff:102:304"),
        ("_dmarc.example.org", "_dmarc.example.org"),
    ],
)
def test_hosts_have_one_form(written: str, normal: str) -> None:
    assert policy.normal_host(written) == normal


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "-a.org", "a-.org", "a b", "a/b", "a@b", "a\0b", "a\nb", "exämple.org", "x" * 64),
        *("a." * 127 + "org", "1:2", "::1%eth0", "[::1]", "*.org", "example.org.."),
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        policy.normal_host(text)


@pytest.mark.parametrize("text", ["127.1", "0x7f000001", "2130706433", "017700000001"])
def test_an_address_in_disguise_is_a_name_that_no_entry_has(text: str) -> None:
    with pytest.raises(ValueError):
        Destination(text)
    assert not policy.allows((Destination("127.0.0.1"), Destination("*.org")), policy.normal_host(text), 443)


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.0.192", "198.18.0.1", "203.0.113.1"),
        *("168.63.129.16", "192.88.99.1", "100.100.100.200"),
        *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "64:ff9b::a00:1"),
        *("64:ff9b::808:808", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "2002:a00:1::", "2002:808:808::"),
        *("2001:0:1:2::", "4000::1", "3fff::1", "2001:20::1", "5f00::1", "100::1", "fec0::1"),
        *("fe80::1%eth0", "2606:4700::1%1", "8.8.8.8.", "08.8.8.8", "example.org", ""),
    ],
)
def test_addresses_that_are_never_reached(address: str) -> None:
    assert policy.reachable([address], []) == []


def test_public_addresses_are_reached_in_their_order() -> None:
    found = ["2606:4700::1111", "10.0.0.1", "8.8.8.8", "::1", "1.1.1.1"]
    assert policy.reachable(found, []) == ["2606:4700::1111", "8.8.8.8", "1.1.1.1"]


@given(st.ip_addresses())
def test_no_address_but_a_global_one_is_reached(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if policy.reachable([str(address)], []):
        assert address.is_global
        assert not (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast)
        assert not (address.is_reserved or address.is_unspecified)
        if isinstance(address, ipaddress.IPv6Address):
            assert not (address.ipv4_mapped or address.sixtofour or address.teredo)


@given(st.ip_addresses(), st.integers(8, 32))
def test_the_machines_own_networks_are_never_reached(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    own = ipaddress.ip_network((address, bits), strict=False)
    assert policy.reachable([str(address)], [own]) == []


def test_every_interface_of_this_machine_counts() -> None:
    own = networks.networks_of_this_machine()
    assert any(ipaddress.ip_address("127.0.0.1") in network for network in own)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        outward = ipaddress.ip_address(probe.getsockname()[0])
    assert any(outward in network for network in own)


@pytest.mark.parametrize(
    ("address", "mask", "network"),
    [
        ("11.2.3.4", "255.255.255.0", "11.2.3.0/24"),
        ("11.2.3.4", None, "11.2.3.4/32"),
        ("11.2.3.4", "0.0.0.0", "11.2.3.4/32"),
        ("2606::1", "ffff:ffff:ffff:ffff::", "2606::/64"),
        ("2606::1", "ffff:ffff:ffff::", "2606::/48"),
        ("2606::1:2:3", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2606::/64"),
        ("2606::1%eth0", "::", "2606::/64"),
    ],
)
def test_networks_of_interfaces(address: str, mask: str | None, network: str) -> None:
    assert str(networks.of_interface(address, mask)) == network


def test_networks_of_routes() -> None:
    four = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
up0 00000000 024DA8C0 0003 0 0 0 00000000 0 0 0
tun0 00000000 0100000B 0003 0 0 0 00000080 0 0 0
tun0 0000058D 00000000 0001 0 0 0 0000FFFF 0 0 0
up0 08090B0B 00000000 0001 0 0 0 F8FFFFFF 0 0 0"""
    nowhere = "0" * 32
    rest = f"00 {nowhere} 00000400 00000001 00000000 00000003 up0"
    six = [
        f"2a00aaaa000000000000000000000000 30 {nowhere} {rest}",
        f"20000000000000000000000000000000 03 {nowhere} {rest}",
        f"{nowhere} 00 {nowhere} {rest}",
    ]
    found = [str(network) for network in networks._of_routes(four.splitlines(), six)]
    assert found == ["141.5.0.0/16", "11.11.9.8/29", "2a00:aaaa::/48"]


# ------------------------------------------------------------------------------------------------ requests


def test_a_tunnel() -> None:
    assert parse(b"CONNECT Example.org.:8443 HTTP/1.1\r\nHost: other") == Request("example.org", 8443, True, b"")
    assert parse(b"CONNECT [2606::0:1]:443 HTTP/1.0") == Request("2606::1", 443, True, b"")


def test_a_request_is_rewritten_for_the_place_it_goes_to() -> None:
    read = parse(
        b"POST HTTP://Example.org:8080?q=1 HTTP/1.1\r\nhost: internal.example\r\nAccept:  */* \r\n"
        b"Connection: close, X-Secret, Content-Length\r\nProxy-Authorization: Basic eA==\r\nX-Secret: 1\r\n"
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c"
    )
    assert read[:3] == ("example.org", 8080, False)
    assert read.head == (
        b"POST /?q=1 HTTP/1.1\r\nHost: Example.org:8080\r\nAccept: */*\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\nVia: 1.1 hypernode\r\nConnection: close\r\n\r\n"
    )
    assert parse(b"GET http://a.org HTTP/1.0").head.startswith(b"GET / HTTP/1.0\r\nHost: a.org\r\n")
    assert parse(b"GET http://a.org HTTP/1.1")[:2] == ("a.org", 80)


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"GET / HTTP/1.1", b"GET https://a.org/ HTTP/1.1", b"GET http://a.org/ HTTP/2", b"GET http://a.org/"),
        *(b"GET http:///x HTTP/1.1", b"GET http://u:p@a.org/ HTTP/1.1", b"GET http://a.org:0/ HTTP/1.1"),
        *(b"GET http://a.org:99999/ HTTP/1.1", b"GET http://a.org/#f HTTP/1.1", b"GET http://a.org/ x HTTP/1.1"),
        *(b"GET  http://a.org/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a.org HTTP/1.1", b"CONNECT :1 HTTP/1.1"),
        *(b"CONNECT a.org:443/x HTTP/1.1", b"CONNECT ::1:443 HTTP/1.1", b"CONNECT [a.org]:1 HTTP/1.1"),
        *(b"CONNECT [::1%25lo]:1 HTTP/1.1", b"CONNECT a.org:+1 HTTP/1.1", b"CONNECT http://a.org:1 HTTP/1.1"),
        *(b"GET http://a.org/ HTTP/1.1\r\n folded", b"GET http://a.org/ HTTP/1.1\r\nA : b"),
        *(b"GET http://a.org/ HTTP/1.1\r\nA: b\nB: c", b"GET http://a.org/ HTTP/1.1\r\nA: \0", b"\r\nGET / HTTP/1.1"),
        *(b"GET http://a.org\xff/ HTTP/1.1", b"GET http://a.org/ HTTP/1.1\r\nA\xff: b"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(head)
    assert (refused.value.status, refused.value.code) == (400, "egress.bad_request")


@given(st.binary(max_size=200))
def test_no_head_breaks_the_reader(junk: bytes) -> None:
    for head in (junk, b"CONNECT " + junk, b"GET http://" + junk, b"GET http://a.org/ HTTP/1.1\r\n" + junk):
        try:
            read = parse(head)
        except Refused:
            continue
        assert policy.normal_host(read.host) == read.host
        assert read.head == b"" or read.head.count(b"\r\n\r\n") == 1


# ------------------------------------------------------------------------------------------------ what a task is told


def test_a_container_is_told_the_way_out_above_its_image_and_below_its_job() -> None:
    image = Image(
        root="/image",
        entrypoint=("/bin/true",),
        command=(),
        environment={"HTTPS_PROXY": "image", "NO_PROXY": "image", "OTHER": "image"},
        working_folder="/",
    )
    name = f"registry.example/a@sha256:{'0' * 64}"
    wanted: dict[str, Any] = {"version": 1, "runtime": {"type": "container", "image": name}, "cap": 1}
    lease = LeaseRef(bytes(16), 0, 1)
    shut = plan.container_task(lease, jobs.parse(wanted), {}, image)
    assert not shut.egress
    assert shut.environment["HTTPS_PROXY"] == "image"
    document = jobs.parse(
        {**wanted, "network": {"egress": [{"host": "a.org"}]}, "environment": {"ALL_PROXY": "job", "all_proxy": "job"}}
    )
    task = plan.container_task(lease, document, {}, image)
    there = "http://127.0.0.1:3128"
    assert task.egress
    assert {name: task.environment[name] for name in ("HTTPS_PROXY", "http_proxy", "ALL_PROXY", "OTHER")} == {
        "HTTPS_PROXY": there,
        "http_proxy": there,
        "ALL_PROXY": "job",
        "OTHER": "image",
    }
    assert task.environment["NO_PROXY"] == task.environment["no_proxy"] == "localhost,127.0.0.1,::1"


def test_a_refusal_is_one_answer() -> None:
    answer = Refused(403, "egress.not_allowed", "x").answer
    assert answer.startswith(b"HTTP/1.1 403 egress.not_allowed: x\r\n")
    head, body = answer.split(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
