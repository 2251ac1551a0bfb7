"""Subscriptions: who wants to be told what, and telling them. Knows no sockets: a subscriber takes bytes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from hypernode.chain.local.chain import Chain, Commitment
from hypernode.chain.local.record import Record
from hypernode.chain.local.rpc.accounts import matching, shown, with_context
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.errors import InvalidParams, RpcError
from hypernode.chain.local.rpc.params import (
    AccountContext,
    Address,
    Context,
    ProgramContext,
    SignatureText,
    pubkey,
    signature,
)
from hypernode.chain.local.settings import SUBSCRIPTIONS

Kind = Literal["account", "program", "logs", "signature", "slot", "root"]
KINDS: Final[tuple[Kind, ...]] = ("account", "program", "logs", "signature", "slot", "root")


class Subscriber(Protocol):
    """Whoever gets notices."""

    def take(self, notice: bytes) -> None:
        """One notice. Never waits: a subscriber that is behind is dropped."""


class Subscription(msgspec.Struct, frozen=True, eq=False):
    """One wish. `key`: the address or signature it is about, if it is about one."""

    number: int
    kind: Kind
    subscriber: Subscriber
    commitment: Commitment
    key: str | None = None
    context: AccountContext | None = None
    received: bool = False


class Mentions(msgspec.Struct, frozen=True):
    """Logs of the transactions that name an address."""

    mentions: Annotated[list[Address], msgspec.Meta(min_length=1, max_length=1)]


class SignatureContext(Context, frozen=True, rename="camel"):
    """Whether to tell, too, that a transaction has been received."""

    enable_received_notification: bool = False


class Subscriptions:
    """All subscriptions to one chain; a Listener of it. Set `chain` before any of them is made."""

    def __init__(self) -> None:
        self.chain: Chain
        self._numbers = itertools.count(1)
        self._kinds: dict[Kind, dict[int, Subscription]] = {kind: {} for kind in KINDS}
        self._held: dict[Subscriber, set[int]] = {}
        self._root = 0

    # ── making and ending them ───────────────────────────────────────────────────────────────────────────────────────

    def call(self, subscriber: Subscriber, method: str, params: Any) -> Any:
        """`accountSubscribe` and the like: the subscription's number; `accountUnsubscribe`: whether there was one.
        Raises RpcError."""
        for kind in KINDS:
            if method == f"{kind}Unsubscribe":
                return self._end(subscriber, kind, params)
        if len(self._held.get(subscriber, ())) >= SUBSCRIPTIONS:
            raise RpcError(f"a connection has at most {SUBSCRIPTIONS} subscriptions")
        made: Subscription = _methods.call(self.chain, method, params)
        made = msgspec.structs.replace(made, number=next(self._numbers), subscriber=subscriber)
        self._kinds[made.kind][made.number] = made
        self._held.setdefault(subscriber, set()).add(made.number)
        return made.number

    def began(self, number: Any) -> None:
        """The subscriber knows the number of a new subscription: tell at once what it waits for and has happened."""
        made = self._kinds["signature"].get(number) if isinstance(number, int) else None
        record = None if made is None else self.chain.bank.status(made.key or "")
        if made is None or record is None:
            return
        if made.received:
            self._tell(made, with_context(record.slot, "receivedSignature"))
        if record.slot <= self.chain.slot(made.commitment):
            self._tell_end(made, record)

    def drop(self, subscriber: Subscriber) -> None:
        """The subscriber has gone."""
        for number in self._held.pop(subscriber, ()):
            for group in self._kinds.values():
                group.pop(number, None)

    def _end(self, subscriber: Subscriber, kind: Kind, params: Any) -> bool:
        number = params[0] if isinstance(params, list) and len(params) == 1 else None
        held = self._held.get(subscriber, set())
        if not isinstance(number, int) or number not in held or number not in self._kinds[kind]:
            raise InvalidParams("Invalid subscription id.")
        held.discard(number)
        del self._kinds[kind][number]
        return True

    # ── what happens on the chain ────────────────────────────────────────────────────────────────────────────────────

    def executed(self, record: Record) -> None:
        """As Listener.executed."""
        for wanted in list(self._kinds["signature"].values()):
            if wanted.received and wanted.key == record.signature:
                self._tell(wanted, with_context(record.slot, "receivedSignature"))
        self.reached("processed", record.slot, [record])

    def reached(self, commitment: Commitment, slot: int, records: Sequence[Record]) -> None:
        """As Listener.reached."""
        by_signature = {record.signature: record for record in records}
        for wanted in self._of("signature", commitment):
            if (record := by_signature.get(wanted.key or "")) is not None:
                self._tell_end(wanted, record)
        for wanted in self._of("logs", commitment):
            for record in records:
                if wanted.key is None or wanted.key in record.keys:
                    value = {"signature": record.signature, "err": record.error, "logs": record.meta["logMessages"]}
                    self._tell(wanted, with_context(record.slot, value))
        self._accounts_changed(commitment, slot, {key for record in records for key in record.writable})

    def moved(self, slot: int, parent: int, root: int) -> None:
        """As Listener.moved."""
        for wanted in self._kinds["slot"].values():
            self._tell(wanted, {"slot": slot, "parent": parent, "root": root})
        if root > self._root:
            self._root = root
            for wanted in self._kinds["root"].values():
                self._tell(wanted, root)

    def _accounts_changed(self, commitment: Commitment, slot: int, changed: set[str]) -> None:
        if not changed:
            return
        for wanted in self._of("account", commitment):
            if wanted.key is not None and wanted.key in changed:
                account = self.chain.bank.account(pubkey(wanted.key), slot)
                self._tell_account(wanted, slot, wanted.key, account, in_program=False)
        if programs := self._of("program", commitment):
            accounts = {key: self.chain.bank.account(pubkey(key), slot) for key in sorted(changed)}
            for wanted in programs:
                for key, account in accounts.items():
                    if account is not None and str(account.owner) == wanted.key:
                        self._tell_account(wanted, slot, key, account, in_program=True)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self, kind: Kind, commitment: Commitment) -> list[Subscription]:
        return [wanted for wanted in self._kinds[kind].values() if wanted.commitment == commitment]

    def _tell_account(self, wanted: Subscription, slot: int, key: str, account: Any, *, in_program: bool) -> None:
        context = wanted.context
        try:
            filters = context.filters if isinstance(context, ProgramContext) else None
            if filters and not matching([(pubkey(key), account)], filters):
                return
            value = shown(self.chain, account, context, slot) or _nothing()
        except RpcError:
            return  # data too long for the encoding it asked for
        self._tell(wanted, with_context(slot, {"pubkey": key, "account": value} if in_program else value))

    def _tell_end(self, wanted: Subscription, record: Record) -> None:
        """A transaction has the commitment that was waited for; that is told once."""
        self._tell(wanted, with_context(record.slot, {"err": record.error}))
        self._kinds["signature"].pop(wanted.number, None)
        self._held.get(wanted.subscriber, set()).discard(wanted.number)

    def _tell(self, wanted: Subscription, result: Any) -> None:
        params = {"result": result, "subscription": wanted.number}
        notice = {"jsonrpc": "2.0", "method": f"{wanted.kind}Notification", "params": params}
        wanted.subscriber.take(msgspec.json.encode(notice))


def _nothing() -> dict[str, Any]:
    """An account that is no more."""
    system = "11111111111111111111111111111111"
    return {
        "lamports": 0,
        "owner": system,
        "executable": False,
        "rentEpoch": 0,
        "space": 0,
        "data": ["", "base64"],
    }


class _Nobody:
    def take(self, notice: bytes) -> None:
        """Of a subscription that is not yet anybody's."""


_methods: Final = Methods()
_NOBODY: Final = _Nobody()


@_methods.add("accountSubscribe")
def _account(chain: Chain, address: Address, context: AccountContext | None = None) -> Subscription:
    commitment = "finalized" if context is None else context.commitment
    return Subscription(0, "account", _NOBODY, commitment, str(pubkey(address)), context)


@_methods.add("programSubscribe")
def _program(chain: Chain, address: Address, context: ProgramContext | None = None) -> Subscription:
    matching((), (context and context.filters) or ())  # refuses bytes that cannot be read
    commitment = "finalized" if context is None else context.commitment
    return Subscription(0, "program", _NOBODY, commitment, str(pubkey(address)), context)


@_methods.add("logsSubscribe")
def _logs(
    chain: Chain, which: Literal["all", "allWithVotes"] | Mentions, context: Context | None = None
) -> Subscription:
    key = str(pubkey(which.mentions[0])) if isinstance(which, Mentions) else None
    return Subscription(0, "logs", _NOBODY, "finalized" if context is None else context.commitment, key)


@_methods.add("signatureSubscribe")
def _signature(chain: Chain, name: SignatureText, context: SignatureContext | None = None) -> Subscription:
    context = context or SignatureContext()
    received = context.enable_received_notification
    return Subscription(0, "signature", _NOBODY, context.commitment, signature(name), None, received)


@_methods.add("slotSubscribe")
def _slot(chain: Chain) -> Subscription:
    return Subscription(0, "slot", _NOBODY, "processed")


@_methods.add("rootSubscribe")
def _root(chain: Chain) -> Subscription:
    return Subscription(0, "root", _NOBODY, "finalized")
