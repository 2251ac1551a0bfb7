"""Job documents: one form for what is equal, every error with its path, and nothing but errors for what is wrong."""

import copy
import json
import random
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hypernode.jobs.model import (
    JobDocument,
    Network,
    check_host,
    check_path,
    decode_canonical,
    encode,
    identify,
    parse,
    parse_text,
)
from hypernode.kernel import decode, limits
from hypernode.kernel.canonical import canonical
from hypernode.kernel.errors import HypernodeError, InvalidInput, Malformed
from props.strategies import documents, hosts, networks

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["10m", "512MiB", "1 HYPER", "a\n", "\x00", "../x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(part, chance) for part in value] if isinstance(value, list) else value


def spots(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of everything in a document."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        found += spots(part, (*path, key))
    return found


@given(documents, st.randoms(use_true_random=False))
def test_one_document_has_one_form(document: JobDocument, chance: random.Random) -> None:
    data = encode(document)
    assert decode_canonical(data) == document and encode(decode_canonical(data)) == data
    value = shuffled(json.loads(data), chance)
    for text in (json.dumps(value).encode(), json.dumps(value, indent=3).encode(), yaml.safe_dump(value).encode()):
        again = parse_text(text)
        assert again == document and identify(again) == identify(document)
    assert decode.from_json(json.dumps(value, ensure_ascii=False).encode(), JobDocument) == document


@given(documents, documents)
def test_different_documents_have_different_ids(one: JobDocument, other: JobDocument) -> None:
    assert (identify(one) == identify(other)) == (one == other)


@given(documents, plain, st.data())
def test_a_corrupted_document_is_refused_with_paths(document: JobDocument, junk: Any, data: st.DataObject) -> None:
    value = json.loads(encode(document))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(spots(value)))
        target = value
        for key in way:
            target = target[key]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                target[last] = copy.deepcopy(junk)
            case "remove":
                del target[last]
            case "add" if isinstance(target, dict):
                target[data.draw(st.text(max_size=8))] = copy.deepcopy(junk)
        if not spots(value):
            break
    try:
        found = parse(value)
    except InvalidInput as error:
        errors = error.errors
    else:
        assert parse(json.loads(canonical(found))) == found  # whatever is taken has a form
        return
    assert errors and len(errors) <= decode.ERRORS
    assert all(one.path.startswith("$") and one.message and msgspec.json.encode(one) for one in errors)


@given(plain)
def test_anything_at_all_is_a_document_or_invalid(value: Any) -> None:
    with pytest.raises(InvalidInput):
        parse(value)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    for read in (decode.from_json, decode.from_yaml):
        with pytest.raises(HypernodeError) as caught:
            read(data, JobDocument)
        assert isinstance(caught.value, InvalidInput)
        msgspec.json.encode(str(caught.value))


@given(documents, st.data())
def test_a_cut_or_flipped_text_never_crashes(document: JobDocument, data: st.DataObject) -> None:
    text = bytearray(encode(document))
    at = data.draw(st.integers(0, len(text) - 1))
    if data.draw(st.booleans()):
        del text[at:]
    else:
        text[at] ^= 1 << data.draw(st.integers(0, 7))
    for read in (decode.from_json, decode.from_yaml):
        try:
            found = read(bytes(text), JobDocument)
        except (InvalidInput, Malformed) as error:
            msgspec.json.encode(str(error))
        else:
            assert found == document or identify(found) != identify(document)


@given(st.integers(1, 60))
def test_every_unknown_field_is_named(count: int) -> None:
    value = {"version": 1, "runtime": {"type": "python", "code": "1"}, "cap": 1, **{f"x{n}": n for n in range(count)}}
    with pytest.raises(InvalidInput) as caught:
        parse(value)
    assert {error.path for error in caught.value.errors} == {f"$.x{n}" for n in range(count)}


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["a", "..", ".", "", "b c", "\\", "\n"]), max_size=4).map("/".join)
)
def test_a_path_that_passes_stays_below_its_root(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    parts = path.split("/")
    assert not path.startswith("/") and all(part not in ("", ".", "..") for part in parts)
    assert "\\" not in path and "\n" not in path and "\x00" not in path


@given(st.integers() | st.floats())
def test_numbers_have_one_canonical_form_or_none(number: float) -> None:
    try:
        data = canonical([number])
    except InvalidInput:
        assert (not isinstance(number, int) and (number != number or number in (float("inf"), float("-inf")))) or (
            abs(number) > limits.MICRO_HYPER
        )
    else:
        assert float(json.loads(data)[0]) == float(number)


CONTAINER = {"version": 1, "cap": 1, "runtime": {"type": "container", "image": "alpine"}}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("runtime.image", "Alpine", "$.runtime.image"),
        ("runtime.image", "alpine@sha256:beef", "$.runtime.image"),
        ("runtime.image", "alpine:3\n", "$.runtime.image"),
        ("runtime.image", "-x", "$.runtime.image"),
        ("runtime.entrypoint", [], "$.runtime.entrypoint"),
        ("runtime.entrypoint", ["", "x"], "$.runtime"),
        ("runtime.arguments", ["a\0"], "$.runtime"),
        ("runtime.working_folder", "app", "$.runtime.working_folder"),
        ("runtime.working_folder", "/app/../..", "$.runtime.working_folder"),
        ("runtime.registry_secret", "../x", "$.runtime.registry_secret"),
        ("network", {}, "$.network"),
        ("network", {"egress": [{"host": "a.example"}, {"host": "a.example", "port": 443}]}, "$.network"),
        ("network", {"ports": [80, 80]}, "$.network"),
        ("network", {"egress": [{"host": "a.example"}], "egress_bytes": 0}, "$.network.egress_bytes"),
        ("network", {"egress": [{"host": "a.example", "port": 0}]}, "$.network.egress[0].port"),
        ("network", {"egress": [{"host": "https://a.example"}]}, "$.network.egress[0].host"),
        ("network", {"egress": [{"host": "a.example"}] * 65}, "$.network.egress"),
    ],
)
def test_what_containers_and_networks_cannot_be(path: str, value: Any, where: str) -> None:
    document = copy.deepcopy(CONTAINER)
    *way, last = path.split(".")
    target: Any = document
    for part in way:
        target = target[part]
    target[last] = value
    with pytest.raises(InvalidInput) as caught:
        parse(document)
    assert [error.path for error in caught.value.errors] == [where]


@given(hosts)
def test_hosts_have_one_form(host: str) -> None:
    check_host(host)
    for other in (host.upper(), host + ".", f" {host}", f"{host}/443", f"*.*.{host}", f"[{host}]"):
        if other != host:
            with pytest.raises(ValueError, match=r"host|address"):
                check_host(other)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f.1", "a.0x7f", "1.2.3.04", "*.1.2.3.4", "::FFFF", "0:0:0:0:0:0:0:1", "fe80::1%2"],
)
def test_addresses_in_disguise_are_no_hosts(host: str) -> None:
    with pytest.raises(ValueError, match=r"host|address"):
        check_host(host)


@given(networks)
def test_a_module_has_no_network(network: Network) -> None:
    document = {
        "version": 1,
        "cap": 1,
        "runtime": {"type": "wasm", "module": "m"},
        "inputs": {"m": {"sha256": "0" * 64, "size_bytes": 8}},
    }
    parse(document)
    with pytest.raises(InvalidInput, match="leave network out"):
        parse({**document, "network": msgspec.to_builtins(network)})
