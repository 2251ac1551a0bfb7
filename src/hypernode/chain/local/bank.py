"""The chain itself: the runtime, its slots, which transactions it takes, and accounts as of any unfinalized slot.

Knows nothing of JSON-RPC and of clocks: time, chance and the pace of slots come from outside.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo

from hypernode.chain.local import message as messages
from hypernode.chain.local import record as records
from hypernode.chain.local.record import Record
from hypernode.chain.local.runtime import runtime
from hypernode.chain.local.settings import (
    CONFIRMED_SLOTS,
    EPOCH_SLOTS,
    FINALITY_SLOTS,
    HASH_SLOTS,
    HASHES_KEPT,
    STATUS_SLOTS,
)
from hypernode.chain.local.tokens import read_holding
from hypernode.chain.local.views import Preimages
from hypernode.chain.local.window import BlockhashWindow


class Rejected(Exception):
    """The transaction is not taken at all: it leaves no trace and pays no fee. `error` as in Record.error."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


class Unloadable(Exception):
    """The runtime cannot have this account, such as one whose program it cannot load."""


class Saved(msgspec.Struct, frozen=True):
    """A chain as it was when a block was closed."""

    slot: int
    unix_time: int
    transactions: int
    hashes: Sequence[tuple[int, bytes]]
    """Oldest first."""
    accounts: Mapping[Pubkey, Account]
    records: Sequence[Record]
    """Of the last STATUS_SLOTS slots, oldest first."""


class Bank:
    """One chain, whose newest block is open. Slots only grow; every slot has a block."""

    def __init__(
        self,
        *,
        unix_time: int,
        finality_slots: int = FINALITY_SLOTS,
        instant: bool = False,
        all_features: bool = False,
        chance: Callable[[], bytes] = lambda: secrets.token_bytes(32),
    ) -> None:
        """`instant`: every block is final as soon as it is made. `chance`: 32 random bytes for each blockhash."""
        self._svm = runtime(all_features)
        self._finality = 0 if instant else finality_slots
        self._confirmed = 0 if instant else min(CONFIRMED_SLOTS, finality_slots)
        self._chance = chance
        self.hashes = BlockhashWindow()
        self._images: Preimages[Pubkey, Account] = Preimages()
        self._statuses: dict[str, Record] = {}
        self._blocks: deque[tuple[int, list[Record]]] = deque()
        self._changed: set[Pubkey] = set()
        self.transactions = 0
        self.unix_time = unix_time
        self.slot = 0
        # Slot 0 is the genesis block, and closed: what is final from the start is what the chain begins with.
        for slot in (0, 1):
            self.hashes.add(slot, chance())
        self._open(1)

    def restore(self, saved: Saved) -> None:
        """Go on from a saved chain. Call it once, before anything else. Raises Unloadable for accounts that the runtime
        refuses, which only a damaged ledger holds."""
        for slot, blockhash in saved.hashes:
            self.hashes.add(slot, blockhash)
        self.unix_time = max(self.unix_time, saved.unix_time)
        self._open(saved.slot)
        # A program is loaded when its account comes, from the account that holds its code.
        for key, account in sorted(saved.accounts.items(), key=lambda item: item[1].executable):
            self._put(key, account)
        for record in saved.records:
            self._remember(record)
        self.transactions = saved.transactions

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def confirmed_slot(self) -> int:
        """The newest confirmed slot."""
        return max(0, self.slot - self._confirmed)

    @property
    def root(self) -> int:
        """The newest finalized slot."""
        return max(0, self.slot - self._finality)

    def advance(self, slots: int, unix_time: int) -> None:
        """Close the open block and open another, `slots` further. Raises ValueError for a step back."""
        if slots < 1:
            raise ValueError("slots only grow")
        target = self.slot + slots
        self.unix_time = max(self.unix_time, unix_time)
        # What no window reaches any more need not be gone through one by one.
        for number in range(max(self.slot + 1, target - HASHES_KEPT), target + 1):
            self.hashes.add(number, self._chance())
        self._open(target)

    def set_time(self, unix_time: int) -> None:
        """The clock that programs see, from the open block on. Raises ValueError for a step back."""
        if unix_time < self.unix_time:
            raise ValueError("the clock only goes forward")
        self.unix_time = unix_time
        self._set_clock()

    def _open(self, slot: int) -> None:
        self.slot = slot
        self._set_clock()
        # Programs see the hashes of closed blocks only: nobody knows that of the open one before it is closed.
        known = [(number, value) for number, value in self.hashes.newest_first() if number < slot]
        self._svm.set_slot_hashes([(number, Hash.from_bytes(value)) for number, value in known[:HASHES_KEPT]])
        self._images.forget(self.root)
        while self._blocks and self._blocks[0][0] < slot - STATUS_SLOTS:
            for record in self._blocks.popleft()[1]:
                self._statuses.pop(record.signature, None)

    def _set_clock(self) -> None:
        epoch = self.slot // EPOCH_SLOTS
        self._svm.set_clock(Clock(self.slot, self.unix_time, epoch, epoch + 1, self.unix_time))

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def account(self, key: Pubkey, slot: int | None = None) -> Account | None:
        """The account at the end of `slot`, which is no older than the root; by default as it is now."""
        now = self._svm.get_account(key)
        return now if slot is None or slot >= self.slot else self._images.at(slot, key, now)

    def program_accounts(self, owner: Pubkey, slot: int | None = None) -> Iterator[tuple[Pubkey, Account]]:
        """All accounts of a program at the end of `slot`."""
        then = {} if slot is None or slot >= self.slot else self._images.changed_since(slot)
        for key, account in self._svm.get_program_accounts(owner):
            if key not in then:
                yield key, account
        for key, old in then.items():
            if old is not None and old.owner == owner:
                yield key, old

    def set_account(self, key: Pubkey, account: Account) -> None:
        """Put an account there, subverting every rule of the runtime. Raises Unloadable."""
        self._images.before_change(self.slot, key, self._svm.get_account(key))
        self._put(key, account)
        self._changed.add(key)

    def take_changes(self) -> Mapping[Pubkey, Account | None]:
        """Every account that changed since the last call, as it is now."""
        taken, self._changed = self._changed, set()
        return self._state(taken)

    def rent_exempt(self, data_bytes: int) -> int:
        """The lamports an account with so much data must hold."""
        return self._svm.minimum_balance_for_rent_exemption(data_bytes)

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def status(self, signature: str) -> Record | None:
        """A transaction of the last STATUS_SLOTS slots."""
        return self._statuses.get(signature)

    def block(self, slot: int) -> Sequence[Record]:
        """The transactions of one of the last STATUS_SLOTS slots."""
        for number, found in reversed(self._blocks):
            if number == slot:
                return found
        return ()

    def recent_blocks(self) -> Iterator[tuple[int, Sequence[Record]]]:
        """The blocks with transactions of the last HASH_SLOTS slots, newest first."""
        return ((slot, found) for slot, found in reversed(self._blocks) if slot > self.slot - HASH_SLOTS)

    def execute(self, transaction: VersionedTransaction) -> Record:
        """Run a transaction whose signatures were verified, and keep what it did. Raises Rejected."""
        message = messages.message_of(transaction)
        self.check_age(transaction, self.slot)
        accounts = messages.accounts_of(message, self._svm.get_account)
        before = self._state(accounts.all)
        outcome = self._svm.send_transaction(transaction)
        if records.meta_of(outcome).signature() == Signature.default():
            raise Rejected(records.error_of(outcome))
        self._advance_nonce(message)
        self._changed |= accounts.writable
        # Only what was writable can have changed.
        after = before | {key: self._svm.get_account(key) for key in accounts.all if key in accounts.writable}
        for key in accounts.writable:
            self._images.before_change(self.slot, key, before[key])
        self._with_mints(before)
        self._with_mints(after)
        signature = str(transaction.signatures[0])
        made = Record(
            signature=signature,
            slot=self.slot,
            block_time=self.unix_time,
            wire=bytes(transaction),
            keys=tuple(str(key) for key in accounts.all),
            writable=tuple(str(key) for key in accounts.all if key in accounts.writable),
            error=records.error_of(outcome),
            meta=records.metadata(
                outcome, accounts.all, (accounts.loaded_writable, accounts.loaded_readonly), before, after
            ),
        )
        self._remember(made)
        self.transactions += 1
        return made

    def simulate(self, transaction: VersionedTransaction) -> SimulatedTransactionInfo | FailedTransactionMetadata:
        """Run a transaction on the newest state and forget what it did. Neither age nor signatures are looked at."""
        return self._svm.simulate_transaction(transaction)

    def check_age(self, transaction: VersionedTransaction, slot: int) -> None:
        """Raises Rejected unless a block of `slot` could take the transaction: its blockhash is one of the window, or
        its durable nonce the stored one, and it was not taken before."""
        message = messages.message_of(transaction)
        if str(transaction.signatures[0]) in self._statuses:
            raise Rejected("AlreadyProcessed")
        blockhash = bytes(message.recent_blockhash)
        if self.hashes.valid(blockhash, slot):
            return
        nonce = messages.nonce_account(message)
        if nonce is None or messages.stored_nonce(self._svm.get_account(nonce)) != blockhash:
            raise Rejected("BlockhashNotFound")

    def _remember(self, record: Record) -> None:
        self._statuses[record.signature] = record
        if not self._blocks or self._blocks[-1][0] != record.slot:
            self._blocks.append((record.slot, []))
        self._blocks[-1][1].append(record)

    def _advance_nonce(self, message: messages.AnyMessage) -> None:
        """A nonce moves on with the chain's blockhash, and also when the rest of its transaction failed; the runtime
        below, which knows neither window nor rollback, leaves both to us."""
        key = messages.nonce_account(message)
        account = None if key is None else self._svm.get_account(key)
        if key is not None and account is not None and messages.stored_nonce(account) is not None:
            self._svm.set_account(key, messages.advanced_nonce(account, self.hashes.at(self.slot)[1]))

    def _put(self, key: Pubkey, account: Account) -> None:
        try:
            self._svm.set_account(key, account)
        except Exception as error:
            raise Unloadable(str(error)) from error

    def _state(self, keys: Iterable[Pubkey]) -> dict[Pubkey, Account | None]:
        return {key: self._svm.get_account(key) for key in keys}

    def _with_mints(self, state: dict[Pubkey, Account | None]) -> None:
        """Add the mints of the token accounts, which give their balances the decimals."""
        for account in list(state.values()):
            holding = read_holding(account)
            if holding is not None and holding.mint not in state:
                state[holding.mint] = self._svm.get_account(holding.mint)
