"""The programs of one deployment, called by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hypernode.chain.programs import bundle
from hypernode.chain.programs.bundle import NAMES, Name
from hypernode.chain.programs.calls import Call, Key, Record
from hypernode.chain.programs.deployment import LOADER, derived
from hypernode.chain.solana import tokens
from hypernode.chain.solana.client import Done, SolanaClient
from hypernode.chain.solana.priority import PriorityFee
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.tracking import Commitment
from hypernode.kernel.errors import InvalidInput, NotFound
from hypernode.kernel.keys import KeyPair

R = TypeVar("R", bound=Record)


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment: the address of each program, of the mint of HYPER, and of the market to use."""

    programs: dict[str, str]
    mint: str
    market: str


class Network:
    """Hypernode's programs through a client that knows their errors. Calls and records are those of `typed`. Use it as
    an async context manager, or call `close`.

    Of the accounts that an instruction takes, those need not be given of which a deployment has one, beside those that
    the IDL finds: its own configuration, pool, vault or ledger by their names in its program, another program's by
    `<program>_<name>`, the mint, and what `initialize` takes of the loader.
    """

    def __init__(
        self,
        addresses: Addresses,
        urls: Sequence[str],
        *,
        commitment: Commitment = "confirmed",
        fee: PriorityFee | None = None,
        pace: Pace | None = None,
    ) -> None:
        """The rest as for SolanaClient. Raises InvalidInput for addresses that are none."""
        self.programs = bundle.programs(addresses.programs)
        try:
            self.mint, self.market = Pubkey.from_string(addresses.mint), Pubkey.from_string(addresses.market)
        except ValueError as error:
            raise InvalidInput(f"mint and market are addresses: {error}") from error
        self.client = SolanaClient(
            urls, commitment=commitment, programs=list(self.programs.values()), fee=fee, pace=pace
        )
        fixed = {name: self.programs[name].fixed("initialize") for name in NAMES}
        others = {f"{name}_{account}": key for name in NAMES for account, key in fixed[name].items()}
        # Where a market asks for those who rate nodes, it is after their program's configuration.
        others |= {"mint": self.mint, "verifiers": fixed["nodes"]["config"]}
        self._standing = {name: others | fixed[name] | self._of_loader(name) for name in NAMES}

    async def close(self) -> None:
        """Close its client."""
        await self.client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def instruction(
        self, call: Call, accounts: Mapping[str, Key] | None = None, more: Sequence[AccountMeta] = ()
    ) -> Instruction:
        """An instruction of a program; `more` accounts come after those that have names. Raises as
        SolanaClient.instruction."""
        program = self.programs[call.program]
        takes = program.takes(call.name)
        standing = {name: key for name, key in self._standing[call.program].items() if name in takes}
        arguments = msgspec.to_builtins(call.arguments, builtin_types=(bytes,), enc_hook=str)
        return await self.client.instruction(program, call.name, arguments, {**standing, **(accounts or {})}, more)

    async def send(self, call: Call, signers: Sequence[KeyPair], accounts: Mapping[str, Key] | None = None) -> Done:
        """Have one instruction executed once; the first signer pays. Raises as SolanaClient.send_and_confirm."""
        return await self.client.send_and_confirm([await self.instruction(call, accounts)], signers)

    async def record(self, kind: type[R], address: Pubkey) -> R:
        """A record. Raises NotFound, and ValueUnfit for an account that is something else."""
        program, found = self.programs[kind.of], await self.client.account(address)
        if found is None or found.owner != str(program.address):
            raise NotFound(f"there is no {kind.__name__} of {kind.of} at {address}")
        return program.record(kind.__name__, found.data, kind)

    async def records(self, kind: type[R]) -> list[tuple[Pubkey, R]]:
        """All records of a kind. Raises ValueUnfit for one that is damaged."""
        return await self.client.records(self.programs[kind.of], kind.__name__, kind)

    async def tokens(self, holder: Pubkey) -> int:
        """How much HYPER a holder's own account has, in µHYPER; 0 where there is none."""
        found = await self.client.account(self.place_of(holder))
        return tokens.amount_in(found.data) if found is not None and found.owner == str(tokens.TOKEN) else 0

    def place_of(self, holder: Pubkey) -> Pubkey:
        """Where a holder's HYPER lie."""
        return tokens.place_of(holder, self.mint)

    def _of_loader(self, program: Name) -> dict[str, Pubkey]:
        own = self.programs[program].address
        return {"this": own, "program_data": derived(LOADER, bytes(own))}
