"""Names of images, and which addresses are public."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.images import references
from hypernode.images.reach import Reach, split
from hypernode.kernel.addresses import is_public

DIGEST = "sha256:" + "0123456789abcdef" * 4

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
parts = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
ports = st.just("") | st.integers(1, 65535).map(lambda port: f":{port}")
registries = st.one_of(
    st.just("localhost"),
    st.builds(lambda first, rest, port: f"{first}.{rest}{port}", labels, labels, ports),
    st.builds(lambda host, port: f"{host}:{port}", labels, st.integers(1, 65535)),
    st.builds(lambda port: f"[2001:db8::1]{port}", ports),
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda text: f"sha256:{text}")


@given(registries, paths, st.just("") | tags, st.just("") | digests)
def test_the_full_form_says_what_it_says(registry: str, path: str, tag: str, digest: str) -> None:
    text = f"{registry}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    found = references.parse(text)
    assert found == (registry, path, tag or ("" if digest else "latest"), digest)
    assert references.parse(str(found)) == found


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z0-9.:/@_\[\]-]{1,40}", fullmatch=True))
def test_what_is_taken_has_one_form_and_nothing_dangerous_in_it(text: str) -> None:
    try:
        found = references.parse(text)
    except ValueError:
        return
    assert references.parse(str(found)) == found
    # What ends up in command lines and in addresses of web requests.
    assert not set(str(found)) & set(" \t\r\n\0?#%\\'\"$`;&|<>(){}*!~,=+")
    assert not str(found).startswith("-")
    assert ".." not in found.repository.split("/")
    assert found.registry and found.repository
    assert found.tag or found.digest


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("owner/name", "docker.io/owner/name:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/owner/name", "docker.io/owner/name:latest"),
        ("GHCR.io/owner/name", "ghcr.io/owner/name:latest"),
        ("localhost/name", "localhost/name:latest"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}"),
        (f"[::1]:5000/name@{DIGEST}", f"[::1]:5000/name@{DIGEST}"),
    ],
)
def test_short_forms(short: str, full: str) -> None:
    assert str(references.parse(short)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "UPPER",
        "a//b",
        "a/../b",
        "host.example:0/a",
        "host.example:65536/a",
        "-host.example/a",
        "user@host.example/a",
        "http://host.example/a",
        "a:",
        "a:tag:tag",
        "a@sha256:short",
        "a@md5:" + "0" * 64,
        f"a@{DIGEST.upper()}",
        "a" * 600,
        "a b",
        "host.example/a\n",
        "[::1/a",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        references.parse(text)


def test_pinned_leaves_the_tag_out() -> None:
    assert references.parse(f"alpine:3@{DIGEST}").pinned == f"docker.io/library/alpine@{DIGEST}"
    with pytest.raises(ValueError, match="no digest"):
        _ = references.parse("alpine").pinned


# ------------------------------------------------------------------------------------------------ reach


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "185.199.108.133", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::1.1.1.1", "2002:7f00:1::1", "2002:a00:1::1", "2001:0:1:2::3", "::ffff:0:127.0.0.1"),
        *("168.63.129.16", "::ffff:168.63.129.16", "192.88.99.1", "192.0.0.192", "3fff::1"),
        *("", "localhost", "0x7f.1", "2130706433", "127.1", "1.1.1.1 "),
    ],
)
def test_addresses_that_are_somebodys_own(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_a_version_6_address_is_no_way_round(address: object) -> None:
    public = is_public(str(address))
    assert is_public(f"::ffff:{address}") == public
    assert is_public(f"64:ff9b::{address}") == public


def test_registries_of_the_operators_own() -> None:
    reach = Reach(["http://127.0.0.1:5000", "registry.lan", "http://plain.lan"])
    assert reach.address("127.0.0.1:5000") == ("http", "127.0.0.1", 5000)
    assert reach.address("127.0.0.1:5001") == ("https", "127.0.0.1", 5001)
    assert reach.address("Registry.LAN") == ("https", "registry.lan", 443)
    assert reach.address("plain.lan") == ("http", "plain.lan", 80)
    assert reach.address("plain.lan:443") == ("https", "plain.lan", 443)
    assert reach.address("[::1]:5000") == ("https", "::1", 5000)
    assert split("[::1]", 443) == ("::1", 443)
    with pytest.raises(ValueError, match="is not a registry"):
        Reach(["https://registry.lan/path"])
