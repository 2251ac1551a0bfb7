"""The programs in the real runtime: LiteSVM from the committed images, driven by nothing but the IDLs.

Every transaction that succeeds is followed by a count of all HYPER: what token accounts hold is the mint's supply.
"""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import FeatureSet, LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from solders.token.state import Mint, TokenAccount, TokenAccountState
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from hypernode.chain.programs.bundle import IMAGES

from .coder import arguments_of, idl

LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
ED25519 = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
NATIVE_LOADER = Pubkey.from_string("NativeLoader1111111111111111111111111111111")
SUPPLY = 1_000_000_000_000_000
HYPER = 1_000_000
DAY = 86_400
START = 1_800_000_000
FORBID_OLD = Pubkey.from_string("B8JJXCy5amZyWG9r7EnUYLwzXSXTxG7GZ1qZ1qggo83g")


class Refused(Exception):
    """A transaction that failed, with the program's code if it gave one."""

    def __init__(self, error: Any, logs: Sequence[str]) -> None:
        super().__init__(f"{error}\n" + "\n".join(logs[-12:]))
        inner = getattr(error, "err", None)
        self.code: int | None = getattr(inner, "code", None)
        self.error = error
        self.logs = list(logs)


@contextmanager
def refuses(world: World, name: str, program: str = "token") -> Iterator[None]:
    """What runs inside is refused by the program with the error of this name."""
    try:
        yield
    except Refused as refused:
        if refused.code != idl(program).codes[name]:
            raise AssertionError(f"not {name}: {refused}") from refused
    else:
        raise AssertionError(f"nothing was refused; {name} was expected")


class Sent:
    """What a transaction did."""

    def __init__(self, units: int, logs: Sequence[str], program: str, returned: bytes) -> None:
        self.units = units
        self.returned = returned
        self.logs = list(logs)
        raw = [base64.b64decode(line.split(": ", 1)[1]) for line in logs if line.startswith("Program data: ")]
        self.events = [event for event in (idl(program).event(data) for data in raw) if event]


def runtime(*, forbid_old: bool = False, everything: bool = False) -> LiteSVM:
    """Mainnet's features, with signatures and blockhashes checked; `forbid_old` adds the change of SIMD-0500,
    `everything` all that the runtime has, which mainnet may have one day."""
    features = FeatureSet.all_enabled() if everything else LiteSVM.mainnet_feature_set()
    if forbid_old:
        features.activate(FORBID_OLD, 0)
    svm = LiteSVM.default().with_feature_set(features).with_builtins().with_sysvars().with_lamports(10**18)
    svm = svm.with_sigverify(True).with_blockhash_check(True).with_default_programs()
    # The builder has the precompile but not its account.
    svm.set_account(ED25519, Account(1, b"", NATIVE_LOADER, executable=True))
    return svm


@lru_cache(maxsize=2_048)
def hash_of(slot: int) -> tuple[int, Hash]:
    """A slot and its hash. They are remembered, since most are asked for again in the next slot."""
    return slot, Hash(struct.pack("<Q", slot) * 4)


class World:
    """A chain with some of the programs, a final mint, and people with HYPER."""

    def __init__(self, *programs: str, seed: int = 0, suffix: str = ".so", svm: LiteSVM | None = None) -> None:
        self.random = random.Random(seed)
        self.svm = svm or runtime()
        self.payer = self.person()
        self.deployer = self.person()
        self.ids: dict[str, Pubkey] = {}
        self.named: dict[str, Pubkey] = {}
        """Accounts that instructions find by their name in the IDL unless the call names others."""
        self.watchers: list[Callable[[World], None]] = []
        self.attack: Callable[[World, str, str, Instruction, list[Keypair], list[Instruction]], None] | None = None
        self.units: dict[tuple[str, str], list[int]] = {}
        """Compute units of each instruction sent, as if the first bump had fitted every account it made."""
        self._bumps: dict[Pubkey, int] = {}
        for name in programs:
            self.install(name, suffix)
        self.slot, self.time = 1_000, START
        self.slots_a_second = 2.5
        """A slot takes 400 ms on the cluster. Fewer let time pass for which nobody has to be there."""
        self.set_clock()
        self.mint = self.key()
        self.named["mint"] = self.mint
        self.svm.set_account(self.mint, Account(10**9, bytes(Mint(None, SUPPLY, 6, True, None)), TOKEN))
        self.bank = self.person()
        self.reserve = self._token_account(self.bank.pubkey(), SUPPLY)

    # --- people, tokens, time -------------------------------------------------------------------------------------
    def person(self) -> Keypair:
        keypair = Keypair.from_seed(self.random.randbytes(32))
        self.svm.airdrop(keypair.pubkey(), 10**12)
        return keypair

    def key(self) -> Pubkey:
        return Keypair.from_seed(self.random.randbytes(32)).pubkey()

    def _token_account(self, holder: Pubkey, amount: int, mint: Pubkey | None = None) -> Pubkey:
        address = self.key()
        state = TokenAccount(mint or self.mint, holder, amount, None, TokenAccountState.Initialized, None, 0, None)
        self.svm.set_account(address, Account(10**9, bytes(state), TOKEN))
        return address

    def tokens(self, holder: Pubkey, amount: int = 0) -> Pubkey:
        """A new token account of `holder` with so much HYPER from the bank."""
        address = self._token_account(holder, 0)
        if amount:
            self.pay(self.reserve, self.bank, address, amount)
        return address

    def other_tokens(self, holder: Pubkey, amount: int = 10**12) -> Pubkey:
        """A token account of another mint."""
        mint = self.key()
        self.svm.set_account(mint, Account(10**9, bytes(Mint(None, 10**15, 6, True, None)), TOKEN))
        return self._token_account(holder, amount, mint)

    def pay(self, source: Pubkey, holder: Keypair, to: Pubkey, amount: int) -> None:
        metas = [
            AccountMeta(source, False, True),
            AccountMeta(to, False, True),
            AccountMeta(holder.pubkey(), True, False),
        ]
        self.submit([Instruction(TOKEN, struct.pack("<BQ", 3, amount), metas)], [holder])

    def balance(self, address: Pubkey) -> int:
        account = self.svm.get_account(address)
        return TokenAccount.from_bytes(account.data).amount if account is not None and account.data else 0

    def supply(self) -> int:
        account = self.svm.get_account(self.mint)
        assert account is not None
        return Mint.from_bytes(account.data).supply

    def set_clock(self) -> None:
        self.svm.set_clock(Clock(self.slot, 0, 0, 0, self.time))
        self.svm.set_slot_hashes([hash_of(slot) for slot in range(self.slot - 1, max(0, self.slot - 513), -1)])

    def wait(self, seconds: int, slots: int | None = None) -> None:
        """Let time pass, and slots with it unless said otherwise."""
        self.time += seconds
        self.slot += slots if slots is not None else max(1, int(seconds * self.slots_a_second))
        self.set_clock()

    # --- programs -------------------------------------------------------------------------------------------------
    def install(self, name: str, suffix: str = ".so") -> None:
        """Put a program's image where the upgradeable loader keeps it, with the deployer as its upgrade authority."""
        image = (IMAGES / f"{name}{suffix}").read_bytes()
        program = self.key()
        data, _ = Pubkey.find_program_address([bytes(program)], LOADER)
        header = struct.pack("<IQB", 3, 0, 1) + bytes(self.deployer.pubkey())
        self.svm.set_account(data, Account(10**10, header + image, LOADER))
        self.svm.set_account(program, Account(10**9, struct.pack("<I", 2) + bytes(data), LOADER, executable=True))
        self.ids[name] = program

    def address(self, program: str, *seeds: bytes | str | int | Pubkey) -> Pubkey:
        parts = [
            seed.encode()
            if isinstance(seed, str)
            else struct.pack("<Q", seed)
            if isinstance(seed, int)
            else bytes(seed)
            for seed in seeds
        ]
        return Pubkey.find_program_address(parts, self.ids[program])[0]

    def record(self, program: str, name: str, address: Pubkey) -> dict[str, Any]:
        account = self.svm.get_account(address)
        assert account is not None, f"no {name} at {address}"
        assert account.owner == self.ids[program]
        return idl(program).record(name, account.data)

    def exists(self, address: Pubkey) -> bool:
        account = self.svm.get_account(address)
        return account is not None and account.lamports > 0

    def instruction(self, program: str, name: str, /, rest: Sequence[AccountMeta] = (), **values: Any) -> Instruction:
        """An instruction with its accounts by name; the IDL's addresses and seeds give those that are not named."""
        raw = idl(program).instructions[name]
        keys: dict[str, Pubkey] = {}
        for account in raw["accounts"]:
            label = account["name"]
            if label in values:
                keys[label] = values[label]
            elif "address" in account:
                keys[label] = Pubkey.from_string(account["address"])
            elif label == "this":
                keys[label] = self.ids[program]
            elif label == "program_data":
                keys[label] = Pubkey.find_program_address([bytes(self.ids[program])], LOADER)[0]
            elif "pda" not in account:
                keys[label] = (
                    self.named[f"{program}.{label}"] if f"{program}.{label}" in self.named else self.named[label]
                )
        for account in raw["accounts"]:
            if account["name"] not in keys:
                keys[account["name"]] = self._derived(program, raw, account, keys, values)
        metas = [
            AccountMeta(keys[account["name"]], account.get("signer", False), account.get("writable", False))
            for account in raw["accounts"]
        ]
        return Instruction(self.ids[program], arguments_of(idl(program), name, values), [*metas, *rest])

    def _derived(self, program: str, raw: Any, account: Any, keys: dict[str, Pubkey], values: dict[str, Any]) -> Pubkey:
        parts = []
        for seed in account["pda"]["seeds"]:
            if seed["kind"] == "const":
                parts.append(bytes(seed["value"]))
            elif seed["kind"] == "arg":
                type_ = next(each["type"] for each in raw["args"] if each["name"] == seed["path"])
                parts.append(idl(program).encode(type_, values[seed["path"]]))
            elif "." in seed["path"]:
                label, field = seed["path"].split(".")
                owner = next(each for each in raw["accounts"] if each["name"] == label)
                if label not in keys:
                    keys[label] = self._derived(program, raw, owner, keys, values)
                data = self.svm.get_account(keys[label])
                assert data is not None
                shape = idl(program).types[seed["account"]]
                type_ = next(each["type"] for each in shape["fields"] if each["name"] == field)
                parts.append(idl(program).encode(type_, idl(program).record(seed["account"], data.data)[field]))
            else:
                if seed["path"] not in keys:
                    other = next(each for each in raw["accounts"] if each["name"] == seed["path"])
                    keys[seed["path"]] = self._derived(program, raw, other, keys, values)
                parts.append(bytes(keys[seed["path"]]))
        found, bump = Pubkey.find_program_address(parts, self.ids[program])
        self._bumps[found] = bump
        return found

    def send(
        self,
        program: str,
        name: str,
        /,
        *signers: Keypair,
        before: Any = (),
        rest: Any = (),
        **values: Any,
    ) -> Sent:
        """Run one instruction of a program. Raises Refused."""
        instruction = self.instruction(program, name, rest, **values)
        if self.attack is not None:
            self.attack(self, program, name, instruction, list(signers), list(before))
        sent = self.submit([*before, instruction], signers, program)
        self.units.setdefault((program, name), []).append(sent.units - self._search(program, name, instruction))
        self.check()
        return sent

    def _search(self, program: str, name: str, instruction: Instruction) -> int:
        """Units spent on bumps that gave no address: chance, 1,500 a try, for each account that was made."""
        spent = 0
        for account, meta in zip(idl(program).instructions[name]["accounts"], instruction.accounts, strict=False):
            if "pda" in account:
                bump = self._bumps[meta.pubkey]
                spent += 1_500 * (255 - bump)
        return spent

    def submit(self, instructions: Sequence[Instruction], signers: Sequence[Keypair], program: str = "token") -> Sent:
        self.svm.expire_blockhash()
        unique = {bytes(each.pubkey()): each for each in (self.payer, *signers)}
        message = Message(list(instructions), self.payer.pubkey())
        result = self.svm.send_transaction(Transaction(list(unique.values()), message, self.svm.latest_blockhash()))
        if isinstance(result, FailedTransactionMetadata):
            raise Refused(result.err(), result.meta().logs())
        return Sent(result.compute_units_consumed(), result.logs(), program, bytes(result.return_data().data))

    def check(self) -> None:
        """All HYPER is somewhere."""
        held = sum(
            int.from_bytes(account.data[64:72], "little")
            for _, account in self.svm.get_program_accounts(TOKEN)
            if len(account.data) == 165 and account.data[:32] == bytes(self.mint)
        )
        assert held == self.supply(), f"{held} µHYPER are held, {self.supply()} exist"
        for watcher in self.watchers:
            watcher(self)
