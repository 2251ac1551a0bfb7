"""Sealing: what is sealed opens as it was, and in no other way."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.kernel.errors import SecretUnreadable
from hypernode.secrets.sealing import KEY_BYTES, Login, Sealer
from props.strategies import names, words

uuids = st.uuids()
logins = st.builds(Login, words, words)
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(keys, uuids, names, words, logins)
def test_what_is_sealed_opens(key: bytes, project: UUID, name: str, registry: str, login: Login) -> None:
    sealed = Sealer(key).seal(project, name, registry, login)
    assert Sealer(key).open(project, name, registry, sealed) == login


@given(keys, uuids, names, words, logins, st.data())
def test_nothing_else_opens(
    key: bytes, project: UUID, name: str, registry: str, login: Login, data: st.DataObject
) -> None:
    sealed = bytearray(Sealer(key).seal(project, name, registry, login))
    match data.draw(st.sampled_from(["key", "project", "name", "registry", "flip", "cut", "shift"])):
        case "key":
            key = bytes([key[0] ^ 1]) + key[1:]
        case "project":
            project = data.draw(uuids.filter(lambda other: other != project))
        case "name":
            name = data.draw(names.filter(lambda other: other != name))
        case "registry":
            registry = data.draw(words.filter(lambda other: other != registry))
        case "flip":
            sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
        case "shift":  # from the end of one part of what it is bound to, to the beginning of the next
            name, registry = name[:-1], name[-1] + registry
    with pytest.raises(SecretUnreadable):
        Sealer(key).open(project, name, registry, bytes(sealed))


@pytest.mark.parametrize("size", [0, 16, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_of_another_size_is_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Sealer(bytes(size))
