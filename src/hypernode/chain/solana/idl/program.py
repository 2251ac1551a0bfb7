"""A program, spoken to from its IDL alone."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from solders.instruction import AccountMeta
from solders.instruction import Instruction as Compiled
from solders.pubkey import Pubkey

from hypernode.chain.solana.errors import AccountsUnresolved, IdlInvalid, ValueUnfit
from hypernode.chain.solana.idl.borsh import Codec, Key, Reader, Struct
from hypernode.chain.solana.idl.model import Discriminated, ErrorDefinition, Field, Idl, Instruction
from hypernode.chain.solana.idl.resolve import flattened, resolve
from hypernode.chain.solana.idl.types import Types

T = TypeVar("T")

_INVOKE: Final = re.compile(r"Program (\w{32,44}) invoke \[\d+\]")
_END: Final = re.compile(r"Program (\w{32,44}) (?:success|failed: .*)")
_DATA: Final = "Program data: "


class Event(msgspec.Struct, frozen=True):
    """Something a program said while it ran."""

    name: str
    fields: Any


class Program:
    """The program at `address`, by default the one that its IDL names. Raises IdlInvalid for an IDL that contradicts
    itself or needs what is not supported: all of its types are gone through here."""

    def __init__(self, idl: Idl, address: str | None = None) -> None:
        try:
            self.address = Pubkey.from_string(address or idl.address)
        except ValueError as error:
            raise IdlInvalid(f"{address or idl.address!r} is not an address") from error
        types = Types(idl)
        self._instructions = {item.name: item for item in idl.instructions}
        self._arguments = {item.name: Struct(_codecs(types, item.args)) for item in idl.instructions}
        self._kinds = {
            (item.name, field.name): types.codec(field.type) for item in idl.instructions for field in item.args
        }
        self._accounts = [(item.name, _prefix(item), types.defined(item.name)) for item in idl.accounts]
        self._events = [(item.name, _prefix(item), types.defined(item.name)) for item in idl.events]
        self._types = types
        self._errors = {item.code: item for item in idl.errors}

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def derived(self, *seeds: bytes) -> Pubkey:
        """The address that belongs to this program and to these seeds."""
        return Pubkey.find_program_address(list(seeds), self.address)[0]

    def takes(self, name: str) -> Sequence[str]:
        """The names of the accounts that an instruction takes. Raises ValueUnfit."""
        return [account for account, _ in flattened(self._instruction(name).accounts)]

    def fixed(self, name: str) -> dict[str, Pubkey]:
        """Those accounts of an instruction that are derived from constants alone: there is one of each. Raises
        ValueUnfit."""
        return {
            account: self.derived(*(bytes(seed.value) for seed in item.pda.seeds))
            for account, item in flattened(self._instruction(name).accounts)
            if item.pda is not None
            and item.pda.program is None
            and all(seed.kind == "const" for seed in item.pda.seeds)
        }

    def _instruction(self, name: str) -> Instruction:
        instruction = self._instructions.get(name)
        if instruction is None:
            raise ValueUnfit(f"there is no instruction {name}; there are {', '.join(self._instructions)}")
        return instruction

    # ── instructions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def instruction(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        accounts: Mapping[str, Pubkey | str] | None = None,
        more: Sequence[AccountMeta] = (),
    ) -> Compiled:
        """An instruction whose accounts are given, or follow from the IDL without looking at the chain; `more` accounts
        come after those. Raises ValueUnfit, AccountsUnresolved."""
        made = self.begin(name, arguments, accounts, more)
        try:
            wanted = next(made)
        except StopIteration as done:
            compiled: Compiled = done.value
            return compiled
        raise AccountsUnresolved(f"{name}: the data of {wanted} must be read to find its accounts; use a client")

    def begin(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        accounts: Mapping[str, Pubkey | str] | None = None,
        more: Sequence[AccountMeta] = (),
    ) -> Generator[Pubkey, bytes | None, Compiled]:
        """The same as a generator, which asks for the data of accounts it must see: see `resolve`."""
        instruction = self._instruction(name)
        values = dict(arguments or {})
        data = bytearray(bytes(instruction.discriminator))
        if instruction.args or values:
            self._arguments[name].write(values, data)
        found = yield from resolve(
            instruction,
            self.address,
            {key: _key(value) for key, value in (accounts or {}).items()},
            lambda path: self._argument_seed(name, values, path),
            self._field_seed,
            self._field_key,
        )
        metas = [
            # One that is left out is the program itself, which neither signs nor changes.
            AccountMeta(found[key], item.signer, item.writable)
            if found[key] != self.address
            else AccountMeta(self.address, False, False)
            for key, item in flattened(instruction.accounts)
        ]
        return Compiled(self.address, bytes(data), [*metas, *more])

    def _argument_seed(self, name: str, values: Mapping[str, Any], path: str) -> bytes:
        first, *fields = path.split(".")
        codec = self._kinds.get((name, first))
        if codec is None:
            raise IdlInvalid(f"{name} has no argument {first}")
        return _seed(codec, values[first], fields)

    def _field_seed(self, data: bytes, fields: Sequence[str]) -> bytes:
        codec, body = self._of(data)
        return _seed(codec, codec.read(Reader(body)), fields)

    def _field_key(self, data: bytes, name: str) -> Pubkey | None:
        codec, body = self._of(data)
        value = codec.read(Reader(body))
        text = value.get(name) if isinstance(value, dict) else None
        try:
            return Pubkey.from_string(text) if isinstance(text, str) else None
        except ValueError:
            return None

    def _of(self, data: bytes) -> tuple[Codec, bytes]:
        for _, prefix, codec in self._accounts:
            if data.startswith(prefix):
                return codec, data[len(prefix) :]
        raise ValueUnfit("the account is none of those that the IDL describes")

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def record(self, name: str, data: bytes, kind: type[T]) -> T:
        """The data of an account as a record of this name: `dict`, or a struct with its fields. Bytes after it are
        allowed, as programs leave room to grow. Raises ValueUnfit."""
        for known, prefix, codec in self._accounts:
            if known == name:
                if not data.startswith(prefix):
                    raise ValueUnfit(f"the account is no {name}")
                return _typed(codec.read(Reader(data[len(prefix) :])), kind)
        raise ValueUnfit(f"there is no record {name}")

    def encode_record(self, name: str, value: Any) -> bytes:
        """The data of a record, its discriminator included. Raises ValueUnfit."""
        for known, prefix, codec in self._accounts:
            if known == name:
                out = bytearray(prefix)
                codec.write(msgspec.to_builtins(value, builtin_types=(bytes,)), out)
                return bytes(out)
        raise ValueUnfit(f"there is no record {name}")

    def discriminator(self, name: str) -> bytes:
        """What the data of records of this name begin with, for finding them. Raises ValueUnfit."""
        for known, prefix, _ in self._accounts:
            if known == name:
                return prefix
        raise ValueUnfit(f"there is no record {name}")

    # ── events and errors ────────────────────────────────────────────────────────────────────────────────────────────

    def events(self, logs: Sequence[str]) -> list[Event]:
        """The events that this program said in these logs, in order. Only what it said itself counts: another program's
        data that look the same do not. What is no event of the IDL, or damaged, is left out."""
        found: list[Event] = []
        running: list[str] = []
        own = str(self.address)
        for line in logs:
            if (begun := _INVOKE.fullmatch(line)) is not None:
                running.append(begun[1])
            elif (ended := _END.fullmatch(line)) is not None:
                if running and running[-1] == ended[1]:
                    running.pop()
            elif line.startswith(_DATA) and running and running[-1] == own:
                event = self._event(line.removeprefix(_DATA))
                if event is not None:
                    found.append(event)
        return found

    def _event(self, text: str) -> Event | None:
        try:
            data = base64.b64decode(text, validate=True)
            for name, prefix, codec in self._events:
                if data.startswith(prefix):
                    reader = Reader(data[len(prefix) :])
                    fields = codec.read(reader)
                    return Event(name, fields) if reader.left == 0 else None
        except (binascii.Error, ValueUnfit):
            pass
        return None

    def error(self, number: int) -> ErrorDefinition | None:
        """What an error's number means."""
        return self._errors.get(number)


def _codecs(types: Types, fields: Sequence[Field]) -> list[tuple[str | None, Codec]]:
    return [(field.name, types.codec(field.type)) for field in fields]


def _prefix(item: Discriminated | Instruction) -> bytes:
    if not item.discriminator or not all(0 <= byte <= 255 for byte in item.discriminator):
        raise IdlInvalid(f"{item.name} has no discriminator")
    return bytes(item.discriminator)


def _key(value: Pubkey | str) -> Pubkey:
    try:
        return value if isinstance(value, Pubkey) else Pubkey.from_string(value)
    except ValueError as error:
        raise ValueUnfit(f"{value!r} is not a public key in base58") from error


def _seed(codec: Codec, value: Any, fields: Sequence[str]) -> bytes:
    """A value as a seed: its Borsh form, but texts and bytes without their length."""
    for field in fields:
        if not isinstance(codec, Struct) or not isinstance(value, dict) or field not in value:
            raise IdlInvalid(f"there is no field {field} for a seed")
        codec, value = codec.field(field), value[field]
    if isinstance(value, str) and not isinstance(codec, Key):
        return value.encode()
    if isinstance(value, bytes):
        return value
    out = bytearray()
    codec.write(value, out)
    return bytes(out)


def _typed(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueUnfit(f"the record does not have the fields of {kind.__name__}: {error}") from error
