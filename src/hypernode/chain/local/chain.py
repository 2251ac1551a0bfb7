"""The running chain: the bank, its history, the faucet, and the pace of its slots."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hypernode.chain.local.bank import Bank, Rejected, Unloadable
from hypernode.chain.local.history import Head, History
from hypernode.chain.local.message import SYSTEM
from hypernode.chain.local.record import Record
from hypernode.chain.local.settings import FAUCET_LAMPORTS, PROGRAM_BYTES, Program, Settings
from hypernode.kernel.errors import InvalidInput

Commitment = Literal["processed", "confirmed", "finalized"]

UPGRADEABLE_LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_PROGRAM_STATE: Final = 2
_PROGRAM_DATA_STATE: Final = 3
_DATA_HEADER_BYTES: Final = 45
_AIRDROP_UNITS: Final = 10_000
_AIRDROP_KINDS: Final = 1_000_000


class Listener(Protocol):
    """Who is told what happens on the chain."""

    def executed(self, record: Record) -> None:
        """A transaction was executed in the open block."""

    def reached(self, commitment: Commitment, slot: int, records: Sequence[Record]) -> None:
        """Everything up to `slot` has this commitment now; `records` are the transactions that newly have it."""

    def moved(self, slot: int, parent: int, root: int) -> None:
        """A new block is open."""


class Chain:
    """One chain. `wall_s` and `steady_s` are the clocks: of the world, and one that never goes back."""

    def __init__(
        self,
        settings: Settings,
        listener: Listener,
        *,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises InvalidInput for a ledger that cannot be used or a program that cannot be loaded."""
        self._listener = listener
        self._wall_s, self._steady_s = wall_s, steady_s
        self._offset_s = 0
        self._slot_s = settings.slot_ms / 1000
        self.bank = Bank(
            unix_time=int(wall_s()),
            finality_slots=settings.finality_slots,
            instant=settings.slot_ms == 0,
            all_features=settings.all_features,
        )
        self.history = History(settings.ledger)
        self.genesis = self._resume()
        self._faucet = Keypair()
        self._airdrops = 0
        self.bank.set_account(self._faucet.pubkey(), Account(FAUCET_LAMPORTS, b"", SYSTEM))
        for program in settings.programs:
            self._add_program(program)
        self._next_s = steady_s() + self._slot_s
        self._close_block()

    @property
    def identity(self) -> Pubkey:
        """Who makes the blocks; it is the faucet, too, and lives as long as the process."""
        return self._faucet.pubkey()

    def close(self) -> None:
        """Make everything durable that is to be kept."""
        self._close_block()
        self.history.close()

    # ── commitment ───────────────────────────────────────────────────────────────────────────────────────────────────

    def slot(self, commitment: Commitment) -> int:
        """The newest slot that has this commitment."""
        if commitment == "processed":
            return self.bank.slot
        return self.bank.confirmed_slot if commitment == "confirmed" else self.bank.root

    def commitment_of(self, slot: int) -> Commitment:
        """The highest commitment that a slot has."""
        if slot <= self.bank.root:
            return "finalized"
        return "confirmed" if slot <= self.bank.confirmed_slot else "processed"

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def until_next_slot_s(self) -> float:
        """How long to wait before `tick`; infinite where slots move on demand only."""
        return max(0.0, self._next_s - self._steady_s()) if self._slot_s else float("inf")

    def tick(self) -> None:
        """Open the block of the slot that is due by the clock; more than one slot may have passed."""
        if not self._slot_s:
            return
        late_s = self._steady_s() - self._next_s
        if late_s < 0:
            return
        slots = 1 + int(late_s / self._slot_s)
        self._next_s += slots * self._slot_s
        self._advance(slots)

    def warp(self, slots: int, seconds: int) -> None:
        """Let so many slots pass, and so many seconds on the clock that programs see."""
        self._offset_s += seconds
        self.bank.set_time(max(self.bank.unix_time, self._unix_time()))
        if slots:
            self._advance(slots)

    def _unix_time(self) -> int:
        return int(self._wall_s()) + self._offset_s

    def _advance(self, slots: int) -> None:
        bank, before = self.bank, self.bank.slot
        reached = (bank.confirmed_slot, bank.root)
        waiting = {slot: records for slot, records in bank.recent_blocks() if slot > reached[1]}
        bank.advance(slots, self._unix_time())
        self._close_block()
        commitments: tuple[Commitment, Commitment] = ("confirmed", "finalized")
        for commitment, old, new in zip(commitments, reached, (bank.confirmed_slot, bank.root), strict=True):
            if new > old:
                records = [record for slot in sorted(waiting) if old < slot <= new for record in waiting[slot]]
                self._listener.reached(commitment, new, records)
        self._listener.moved(bank.slot, bank.slot - 1 if slots == 1 else before, bank.root)

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def execute(self, transaction: VersionedTransaction) -> Record:
        """Run a transaction in the open block. Its signatures have been verified. Raises Rejected."""
        record = self.bank.execute(transaction)
        self.history.add(record)
        self._listener.executed(record)
        if not self._slot_s:
            self._listener.reached("confirmed", record.slot, [record])
            self._listener.reached("finalized", record.slot, [record])
            self._advance(1)
        return record

    def airdrop(self, to: Pubkey, lamports: int, blockhash: bytes) -> Record:
        """Lamports from the faucet. Raises Rejected: once it is empty, or for less than the account must hold."""
        # Two airdrops of one slot must not be the same transaction: their limits of compute units differ.
        self._airdrops += 1
        limit = set_compute_unit_limit(_AIRDROP_UNITS + self._airdrops % _AIRDROP_KINDS)
        payer = self._faucet.pubkey()
        paid = transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=lamports))
        message = MessageV0.try_compile(payer, [limit, paid], [], Hash.from_bytes(blockhash))
        record = self.execute(VersionedTransaction(message, [self._faucet]))
        if record.error is not None:
            raise Rejected(record.error)
        return record

    # ── the beginning ────────────────────────────────────────────────────────────────────────────────────────────────

    def _resume(self) -> bytes:
        found = self.history.saved()
        if found is None:
            return secrets.token_bytes(32)
        head, saved = found
        try:
            self.bank.restore(saved)
        except Unloadable as error:
            raise InvalidInput(f"the ledger is damaged: {error}; --reset makes a new one") from error
        # A clock that was warped ahead goes on from there.
        self._offset_s = max(0, saved.unix_time - int(self._wall_s()))
        return head.genesis

    def _add_program(self, program: Program) -> None:
        """Put a program there as the upgradeable loader would have."""
        try:
            address = Pubkey.from_string(program.address)
            authority = b"" if program.authority is None else bytes(Pubkey.from_string(program.authority))
        except ValueError as error:
            raise InvalidInput(f"{program.address!r}: a program's address is a base58 public key") from error
        try:
            code = program.path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"cannot read {program.path}: {error.strerror}") from error
        if len(code) > PROGRAM_BYTES:
            raise InvalidInput(f"{program.path} has {len(code)} bytes; a program has at most {PROGRAM_BYTES}")
        place, _ = Pubkey.find_program_address([bytes(address)], UPGRADEABLE_LOADER)
        # UpgradeableLoaderState of Agave, in bincode: the slot of the deployment, who may upgrade, then the code.
        header = struct.pack("<IQB", _PROGRAM_DATA_STATE, 0, bool(authority)) + authority
        data = header.ljust(_DATA_HEADER_BYTES, b"\0") + code
        pointer = struct.pack("<I", _PROGRAM_STATE) + bytes(place)
        try:
            for key, content, executable in ((place, data, False), (address, pointer, True)):
                rent = self.bank.rent_exempt(len(content))
                self.bank.set_account(key, Account(rent, content, UPGRADEABLE_LOADER, executable))
        except Unloadable as error:
            raise InvalidInput(f"{program.path} is not a program that the runtime can load: {error}") from error

    def _close_block(self) -> None:
        bank = self.bank
        head = Head(
            genesis=self.genesis,
            slot=bank.slot,
            unix_time=bank.unix_time,
            transactions=bank.transactions,
            hashes=bank.hashes.newest_first()[::-1],
        )
        self.history.close_block(head, bank.take_changes())
