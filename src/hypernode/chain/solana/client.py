"""A client for a Solana chain over one or several of its nodes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash, ParseHashError
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from hypernode.chain.solana import sending, transactions
from hypernode.chain.solana.answers import (
    MAYBE_EXECUTED,
    Account,
    Accounts,
    Executed,
    Latest,
    ListedAccount,
    PaidFee,
    Simulation,
    account_of,
    key_of,
)
from hypernode.chain.solana.errors import RpcAnswerInvalid, RpcRefused, RpcUnreachable, TransactionExpired
from hypernode.chain.solana.failures import failure
from hypernode.chain.solana.idl.program import Program
from hypernode.chain.solana.priority import UNITS, PriorityFee, unit_limit, unit_price
from hypernode.chain.solana.rpc import InContext, Node
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.tracking import Commitment, Landed
from hypernode.chain.solana.transactions import Blockhash, Signed
from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.keys import KeyPair

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
NODES: Final = 8
ACCOUNTS: Final = 100
"""Accounts one question may ask for."""
_FEE_ACCOUNTS: Final = 128
_LAG_S: Final = 0.5
"""How long to wait for further nodes once one has answered, where all are asked."""


class Done(msgspec.Struct, frozen=True):
    """A transaction that was executed without an error."""

    signature: str
    slot: int


class SolanaClient:
    """Asks and sends. Nodes are asked in the order they are given, the next where one does not answer, which then is
    the last to be asked; transactions go to all of them. Use it as an async context manager, or call `close`."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        commitment: Commitment = "confirmed",
        programs: Sequence[Program] = (),
        fee: PriorityFee | None = None,
        pace: Pace | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`programs`: those whose errors are to be told in their own words. Raises InvalidInput for no nodes, or too
        many."""
        if not 0 < len(urls) <= NODES:
            raise InvalidInput(f"1 to {NODES} nodes are asked, not {len(urls)}")
        # A proxy of the environment's is for elsewhere, never for this machine.
        direct = dict.fromkeys(f"all://{host}" for host in ("localhost", "127.0.0.1", "[::1]"))
        self._http = httpx.AsyncClient(transport=transport, mounts=direct, follow_redirects=False)
        self._nodes = [Node(url, self._http, timeout_s) for url in urls]
        self._asked = list(self._nodes)
        self._programs: Mapping[str, Program] = {str(program.address): program for program in programs}
        self.commitment: Commitment = commitment
        self._fee, self._pace = fee or PriorityFee(), pace or Pace()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, method: str, params: list[Any], kind: type[T]) -> T:
        """The first node's answer, or the next one's where it does not answer. Raises RpcUnreachable, RpcRefused,
        RpcAnswerInvalid. Not for sending."""
        failure: RpcUnreachable | RpcAnswerInvalid | None = None
        for node in list(self._asked):
            try:
                return await node.call(method, params, kind)
            except (RpcUnreachable, RpcAnswerInvalid) as error:
                failure = error
                # The next one may do better, and is asked first from now on.
                self._asked.remove(node)
                self._asked.append(node)
        raise failure or RpcUnreachable("no node is known")

    async def balance(self, key: Pubkey) -> int:
        """An account's lamports."""
        found = await self.call("getBalance", [str(key), {"commitment": self.commitment}], InContext[int])
        return found.value

    async def accounts(self, keys: Sequence[Pubkey]) -> list[Account | None]:
        """Accounts as of one slot, None for those that do not exist. Raises InvalidInput for more than ACCOUNTS."""
        if len(keys) > ACCOUNTS:
            raise InvalidInput(f"{len(keys)} accounts are asked for, at most {ACCOUNTS}")
        config = {"commitment": self.commitment, "encoding": "base64"}
        found = await self.call("getMultipleAccounts", [[str(key) for key in keys], config], Accounts)
        if len(found.value) != len(keys):
            raise RpcAnswerInvalid(f"{len(found.value)} accounts are told where {len(keys)} were asked for")
        return [None if account is None else account_of(account) for account in found.value]

    async def account(self, key: Pubkey) -> Account | None:
        """An account, or None."""
        return (await self.accounts([key]))[0]

    async def records(self, program: Program, name: str, kind: type[T]) -> list[tuple[Pubkey, T]]:
        """All records of this name that a program has. Raises ValueUnfit for one that is damaged."""
        prefix = base64.b64encode(program.discriminator(name)).decode()
        config = {
            "commitment": self.commitment,
            "encoding": "base64",
            "filters": [{"memcmp": {"offset": 0, "bytes": prefix, "encoding": "base64"}}],
        }
        found = await self.call("getProgramAccounts", [str(program.address), config], list[ListedAccount])
        return [(key_of(item.pubkey), program.record(name, account_of(item.account).data, kind)) for item in found]

    async def blockhash(self) -> Blockhash:
        """The newest blockhash that any node knows: one that lags would shorten a transaction's time."""
        asked = [
            asyncio.create_task(node.call("getLatestBlockhash", [{"commitment": self.commitment}], Latest))
            for node in self._nodes
        ]
        answers = await _soon(asked)
        known = [answer for answer in answers if not isinstance(answer, BaseException)]
        if not known:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        newest = max(known, key=lambda answer: answer.value.last_valid_block_height)
        try:
            Hash.from_string(newest.value.blockhash)
        except ParseHashError as error:
            raise RpcAnswerInvalid(f"{newest.value.blockhash[:60]!r} is not a blockhash") from error
        return Blockhash(newest.value.blockhash, newest.value.last_valid_block_height, newest.context.slot)

    async def unit_price(self, writable: Sequence[Pubkey]) -> int:
        """What to offer for a compute unit to write to these accounts, in millionths of a lamport."""
        keys = [str(key) for key in writable[:_FEE_ACCOUNTS]]
        recent = await self.call("getRecentPrioritizationFees", [keys], list[PaidFee])
        return unit_price([item.prioritization_fee for item in recent], self._fee)

    async def simulate(self, made: VersionedTransaction) -> Simulation:
        """What a transaction would do, whatever its signatures and its blockhash."""
        config = {"encoding": "base64", "commitment": self.commitment, "replaceRecentBlockhash": True}
        wire = base64.b64encode(bytes(made)).decode()
        return (await self.call("simulateTransaction", [wire, config], InContext[Simulation])).value

    async def logs(self, signature: str) -> list[str] | None:
        """The logs of an executed transaction; None if no node knows it (yet)."""
        config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0, "encoding": "base64"}
        found: Executed | None = await self.call("getTransaction", [signature, config], MAYBE_EXECUTED)
        return None if found is None or found.meta is None else found.meta.log_messages

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def instruction(
        self,
        program: Program,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        accounts: Mapping[str, Pubkey | str] | None = None,
        more: Sequence[AccountMeta] = (),
    ) -> Instruction:
        """An instruction whose accounts are given or found by the IDL, on the chain where that is needed: there they
        are what the first node says. Give those that must not be wrong; `more` come after them. Raises ValueUnfit,
        AccountsUnresolved."""
        made = program.begin(name, arguments, accounts, more)
        try:
            wanted = next(made)
            while True:
                found = await self.account(wanted)
                owned = found is not None and found.owner == str(program.address)
                wanted = made.send(found.data if found is not None and owned else None)
        except StopIteration as done:
            compiled: Instruction = done.value
            return compiled

    async def prepare(
        self,
        instructions: Sequence[Instruction],
        signers: Sequence[KeyPair],
        tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Signed:
        """Simulate, price and sign; the first signer pays. Nothing is sent. Raises TransactionFailed if it surely would
        fail."""
        if not signers:
            raise InvalidInput("somebody has to pay for the transaction, and sign it")
        payer = transactions.address(signers[0])
        blockhash = await self.blockhash()
        writable = [meta.pubkey for instruction in instructions for meta in instruction.accounts if meta.is_writable]
        price = await self.unit_price([payer, *dict.fromkeys(writable)])
        tried = transactions.unsigned(payer, transactions.priced(instructions, UNITS, 0), blockhash, tables)
        simulated = await self.simulate(tried)
        if simulated.err is not None:
            raise self._failure(tried, simulated.err, None, simulated.logs or [])
        limit = unit_limit(simulated.units_consumed or UNITS)
        made = transactions.unsigned(payer, transactions.priced(instructions, limit, price), blockhash, tables)
        return transactions.sign(made, signers, blockhash)

    async def send(self, signed: Signed) -> Done:
        """Send signed bytes until they are executed. Idempotent: the same bytes may be sent again, also after a crash.

        Raises TransactionFailed if the chain executed them and they failed, TransactionExpired if it never will, and
        TransactionUndecided if that is not known when patience ends."""
        landed = await sending.follow(self._nodes, signed, self.commitment, self._pace)
        return await self._done(signed, landed)

    async def send_and_confirm(
        self,
        instructions: Sequence[Instruction],
        signers: Sequence[KeyPair],
        *,
        tables: Sequence[AddressLookupTableAccount] = (),
        attempts: int = 3,
        keep: Callable[[Signed], Awaitable[None]] | None = None,
    ) -> Done:
        """Have instructions executed once. New bytes are signed only after the old ones are certain never to be
        executed, `attempts` times at most.

        `keep` is awaited with signed bytes before they are sent for the first time: whoever writes them down can go on
        with `send` after a crash. Raises as `prepare` and `send`."""
        for left in reversed(range(attempts)):
            signed = await self.prepare(instructions, signers, tables)
            if keep is not None:
                await keep(signed)
            try:
                return await self.send(signed)
            except TransactionExpired:
                if not left:
                    raise
        raise InvalidInput("at least one attempt is needed")

    async def _done(self, signed: Signed, landed: Landed) -> Done:
        if landed.error is None:
            return Done(signed.signature, landed.slot)
        try:
            logs = await self.logs(signed.signature) or []
        except (RpcUnreachable, RpcRefused, RpcAnswerInvalid):
            logs = []  # they only make the message better
        made = VersionedTransaction.from_bytes(signed.wire)
        raise self._failure(made, landed.error, signed.signature, logs)

    def _failure(self, made: VersionedTransaction, error: Any, signature: str | None, logs: Sequence[str]) -> Exception:
        message = made.message
        called = [str(message.account_keys[item.program_id_index]) for item in message.instructions]
        return failure(error, signature=signature, logs=logs, called=called, programs=self._programs)


async def _soon(tasks: Sequence[asyncio.Task[T]]) -> list[T | BaseException]:
    """What tasks return or raise, of those that take no longer than _LAG_S more than the first that returns."""
    try:
        waiting: set[asyncio.Task[T]] = set(tasks)
        while waiting and all(task in waiting or task.exception() is not None for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=_LAG_S)
        return [task.exception() or task.result() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
