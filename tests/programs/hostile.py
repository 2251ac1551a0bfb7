"""Attacks on every instruction that the IDLs name: each account replaced, swapped, repeated, stripped of its signature
or left out, and the data cut, stretched and made up. All are simulated just before the honest instruction is sent, so
that they meet a state in which it works.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from solders.token.state import TokenAccount
from solders.transaction import Transaction

from .coder import idl
from .world import World

Attack = tuple[str, str, str, str]
"""Program, instruction, account (or "data"), and what was done to it."""


class Hostile:
    """Attacks each instruction the first `times` it is sent, and remembers what got through."""

    def __init__(self, seed: int = 0, times: int = 1) -> None:
        self.random = random.Random(seed)
        self.times = times
        self.seen: dict[tuple[str, str], int] = {}
        self.accepted: set[Attack] = set()
        self.crashed: list[tuple[Attack, str]] = []
        self.tried = 0
        self.stranger = Keypair.from_seed(bytes(31) + b"\7")
        self.made: list[Pubkey] = []

    def __call__(
        self,
        world: World,
        program: str,
        name: str,
        honest: Instruction,
        signers: list[Keypair],
        before: list[Instruction],
    ) -> None:
        count = self.seen.get((program, name), 0)
        self.seen[program, name] = count + 1
        if count >= self.times:
            return
        world.svm.airdrop(self.stranger.pubkey(), 10**12)
        keys = [*signers, self.stranger]
        for account, what, changed in self._changes(world, program, name, honest):
            self._try(world, (program, name, account, what), [*before, changed], keys)
        for key in self.made:
            world.svm.set_account(key, Account(0, b"", Pubkey.default()))
        self.made.clear()

    def _try(self, world: World, attack: Attack, instructions: Sequence[Instruction], keys: Sequence[Keypair]) -> None:
        needed = {meta.pubkey for each in instructions for meta in each.accounts if meta.is_signer}
        able = {each.pubkey(): each for each in (world.payer, *keys)}
        if needed - set(able):
            return  # somebody who is not there would have to sign
        self.tried += 1
        message = Message(list(instructions), world.payer.pubkey())
        used = [able[key] for key in {world.payer.pubkey(), *needed}]
        result = world.svm.simulate_transaction(Transaction(used, message, world.svm.latest_blockhash()))
        if not hasattr(result, "err"):
            self.accepted.add(attack)
        elif "ProgramFailedToComplete" in str(result.err()) or "AccessViolation" in str(result.err()):
            self.crashed.append((attack, "\n".join(result.meta().logs()[-4:])))

    # --- what is changed ------------------------------------------------------------------------------------------
    def _changes(
        self, world: World, program: str, name: str, honest: Instruction
    ) -> Iterator[tuple[str, str, Instruction]]:
        metas, data, target = list(honest.accounts), bytes(honest.data), honest.program_id
        declared = idl(program).instructions[name]["accounts"]

        def with_meta(place: int, meta: AccountMeta) -> Instruction:
            return Instruction(target, data, [*metas[:place], meta, *metas[place + 1 :]])

        for place, account in enumerate(declared):
            label, meta = account["name"], metas[place]
            for what, key in self._stand_ins(world, meta):
                signer = meta.is_signer and key == self.stranger.pubkey()
                yield label, what, with_meta(place, AccountMeta(key, signer or meta.is_signer, meta.is_writable))
            for other, there in enumerate(metas):
                if there.pubkey == meta.pubkey:
                    continue
                yield (
                    label,
                    f"repeats {self._name(declared, other)}",
                    with_meta(place, AccountMeta(there.pubkey, meta.is_signer and there.is_signer, meta.is_writable)),
                )
                if other > place:
                    swapped = list(metas)
                    swapped[place] = AccountMeta(there.pubkey, meta.is_signer and there.is_signer, meta.is_writable)
                    swapped[other] = AccountMeta(meta.pubkey, there.is_signer and meta.is_signer, there.is_writable)
                    yield label, f"swapped with {self._name(declared, other)}", Instruction(target, data, swapped)
            others = [each for index, each in enumerate(metas) if index != place]
            same = [each for each in others if each.pubkey == meta.pubkey]
            if meta.is_signer and meta.pubkey != world.payer.pubkey() and not any(each.is_signer for each in same):
                yield label, "does not sign", with_meta(place, AccountMeta(meta.pubkey, False, meta.is_writable))
            if meta.is_writable and meta.pubkey != world.payer.pubkey() and not any(each.is_writable for each in same):
                yield label, "is not writable", with_meta(place, AccountMeta(meta.pubkey, meta.is_signer, False))
            yield label, "is left out", Instruction(target, data, others)
        if not any("Further accounts" in line for line in idl(program).instructions[name]["docs"]):
            extra = AccountMeta(world.named["mint"], False, False)
            yield "data", "has an account more", Instruction(target, data, [*metas, extra])
        yield from self._made_up(target, data, metas)

    def _stand_ins(self, world: World, meta: AccountMeta) -> Iterator[tuple[str, Pubkey]]:
        """Accounts that look like the one that belongs there."""
        there = world.svm.get_account(meta.pubkey)
        yield "is a stranger's", self.stranger.pubkey()
        if there is None or not there.data or meta.is_signer:
            return
        if there.owner == TOKEN and len(there.data) == 165:
            state = TokenAccount.from_bytes(there.data)
            yield "is the stranger's tokens", self._put(world, _token(state, owner=self.stranger.pubkey()), TOKEN)
            yield "is of another mint", self._put(world, _token(state, mint=self._key()), TOKEN)
            yield "is not initialized", self._put(world, bytes(165), TOKEN)
        yield "is a copy owned by another program", self._put(world, there.data, self._key())
        yield "is a copy owned by the system", self._put(world, there.data, Pubkey.default())
        yield "is closed", self._put(world, b"", there.owner)
        yield "is emptied", self._put(world, bytes(len(there.data)), there.owner)
        yield "is cut short", self._put(world, there.data[:-1], there.owner)

    def _made_up(self, target: Pubkey, data: bytes, metas: list[AccountMeta]) -> Iterator[tuple[str, str, Instruction]]:
        for what, changed in (
            ("is empty", b""), ("is cut in the discriminator", data[:7]), ("has a byte more", data + b"\0"),
            ("is cut", data[:-1]), ("names no instruction", bytes(8) + data[8:]),
        ):  # fmt: skip
            yield "data", what, Instruction(target, changed, metas)
        for _ in range(24):  # may succeed: any arguments that mean something; must not crash
            size = len(data) - 8
            choice = self.random.random()
            raw = bytearray(self.random.randbytes(size) if choice < 0.4 else data[8:])
            if choice >= 0.4 and size:
                at = self.random.randrange(size)
                raw[at] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF))
            if choice > 0.8 and size >= 8:
                at = self.random.randrange(size - 7)
                raw[at : at + 8] = self.random.choice((b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f"))
            if bytes(raw) != data[8:]:
                yield "data", "is made up", Instruction(target, data[:8] + bytes(raw), metas)

    def _name(self, declared: list[dict[str, str]], place: int) -> str:
        return declared[place]["name"] if place < len(declared) else "a further account"

    def _key(self) -> Pubkey:
        return Pubkey.from_bytes(self.random.randbytes(32))

    def _put(self, world: World, data: bytes, owner: Pubkey) -> Pubkey:
        key = self._key()
        world.svm.set_account(key, Account(10**9, data, owner))
        self.made.append(key)
        return key


def _token(state: TokenAccount, *, owner: Pubkey | None = None, mint: Pubkey | None = None) -> bytes:
    data = bytearray(bytes(TokenAccount(
        mint or state.mint, owner or state.owner, 0, None, state.state, None, 0, None
    )))  # fmt: skip
    return bytes(data)
