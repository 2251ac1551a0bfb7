"""Which accounts an instruction takes: those that are given, those with a fixed address, and those that the IDL derives
from seeds or from what other accounts hold. Asks for the accounts it must see, and does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

from solders.pubkey import Pubkey

from hypernode.chain.solana.errors import AccountsUnresolved, IdlInvalid, ValueUnfit
from hypernode.chain.solana.idl.model import AccountItem, Instruction, Pda, Seed

SEED_BYTES: Final = 32

Fetch = Generator[Pubkey, bytes | None, dict[str, Pubkey]]


def resolve(
    instruction: Instruction,
    program: Pubkey,
    given: Mapping[str, Pubkey],
    argument_seed: Callable[[str], bytes],
    field_seed: Callable[[bytes, Sequence[str]], bytes],
    field_key: Callable[[bytes, str], Pubkey | None],
) -> Fetch:
    """A generator that yields the addresses it wants the data of, gets the data (None where there is no such account),
    and returns every account by its name.

    `argument_seed` makes a seed of an argument, `field_seed` of a field of a record, `field_key` reads a field that is
    a public key. Raises AccountsUnresolved naming what is missing, and what was given that the instruction does not
    take.
    """
    items = list(flattened(instruction.accounts))
    names = [name for name, _ in items]
    if unknown := set(given) - set(names):
        raise AccountsUnresolved(f"{instruction.name} takes no account {', '.join(sorted(unknown))}")
    found = dict(given)
    fetched: dict[Pubkey, bytes | None] = {}

    def record(name: str) -> Generator[Pubkey, bytes | None, bytes | None]:
        key = found[name]
        if key not in fetched:
            fetched[key] = yield key
        return fetched[key]

    def seed(part: Seed) -> Generator[Pubkey, bytes | None, bytes | None]:
        """The seed's bytes; None while they cannot be known."""
        if part.kind == "const":
            return bytes(part.value)
        if part.kind == "arg":
            return argument_seed(part.path)
        name, *fields = part.path.split(".")
        if name not in found:
            return None
        if not fields:
            return bytes(found[name])
        data = yield from record(name)
        return None if data is None else field_seed(data, fields)

    def derived(pda: Pda) -> Generator[Pubkey, bytes | None, Pubkey | None]:
        parts: list[bytes] = []
        for part in pda.seeds:
            value = yield from seed(part)
            if value is None:
                return None
            if len(value) > SEED_BYTES:
                raise ValueUnfit(f"a seed of an address has {len(value)} bytes, at most {SEED_BYTES}")
            parts.append(value)
        owner = bytes(program) if pda.program is None else (yield from seed(pda.program))
        return None if owner is None else Pubkey.find_program_address(parts, Pubkey.from_bytes(owner))[0]

    def related(item: AccountItem) -> Generator[Pubkey, bytes | None, Pubkey | None]:
        for name in item.relations:
            if name in found:
                data = yield from record(name)
                key = None if data is None else field_key(data, item.name)
                if key is not None:
                    return key
        return None

    progress = True
    while progress:
        progress = False
        for name, item in items:
            if name in found:
                continue
            key: Pubkey | None
            if item.address is not None:
                key = _fixed(item.address)
            elif item.pda is not None:
                key = yield from derived(item.pda)
            else:
                key = yield from related(item)
            if key is not None:
                found[name], progress = key, True
    missing = [name for name, item in items if name not in found and not item.optional]
    if missing:
        raise AccountsUnresolved(f"{instruction.name} needs accounts that are not given: {', '.join(missing)}")
    # Anchor's way to leave an optional account out.
    return {name: found.get(name, program) for name in names}


def flattened(items: Sequence[AccountItem], prefix: str = "") -> Generator[tuple[str, AccountItem], None, None]:
    """The accounts in order, those of groups as `group.name`."""
    for item in items:
        name = f"{prefix}{item.name}"
        if item.accounts is None:
            yield name, item
        else:
            yield from flattened(item.accounts, f"{name}.")


def _fixed(address: str) -> Pubkey:
    try:
        return Pubkey.from_string(address)
    except ValueError as error:
        raise IdlInvalid(f"{address!r} is not an address") from error
