"""A local chain for tests: one process for those that only use it, and a plain JSON-RPC caller."""

from __future__ import annotations

import base64
import struct
import sys
from pathlib import Path
from typing import Any

import httpx
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import VersionedTransaction

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import PROGRAM_BYTES, Settings
from hypernode.chain.solana.tokens import TOKEN

SOL = 10**9
SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
HOME = Path(sys.prefix) / "hypernode-tests"
"""Where the packages of local chains are kept between sessions, apart from those of whoever runs the tests."""


def local_chain(settings: Settings) -> LocalChain:
    return LocalChain(settings, HOME)


class RpcFailure(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: Any = error.get("data")


class Caller:
    """Calls methods as they are on the wire."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url)

    def __call__(self, method: str, *params: Any) -> Any:
        sent = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.http.post("/", json=sent).json()
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    def blockhash(self, commitment: str = "processed") -> Hash:
        value = self("getLatestBlockhash", {"commitment": commitment})["value"]
        return Hash.from_string(value["blockhash"])

    def send(self, transaction: VersionedTransaction, **config: Any) -> str:
        wire = base64.b64encode(bytes(transaction)).decode()
        return str(self("sendTransaction", wire, {"encoding": "base64", "preflightCommitment": "processed", **config}))

    def run(self, signers: list[Keypair], *instructions: Instruction, **config: Any) -> str:
        message = MessageV0.try_compile(signers[0].pubkey(), list(instructions), [], self.blockhash())
        return self.send(VersionedTransaction(message, signers), **config)

    def funded(self, lamports: int = 10 * SOL) -> Keypair:
        key = Keypair()
        self("requestAirdrop", str(key.pubkey()), lamports, {"commitment": "processed"})
        return key

    def balance(self, key: Pubkey, commitment: str = "processed") -> int:
        return int(self("getBalance", str(key), {"commitment": commitment})["value"])


def pay(payer: Keypair, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))


def signed(payer: Keypair, blockhash: Hash, *instructions: Instruction, legacy: bool = False) -> VersionedTransaction:
    if legacy:
        plain = Message.new_with_blockhash(list(instructions), payer.pubkey(), blockhash)
        return VersionedTransaction(plain, [payer])
    message = MessageV0.try_compile(payer.pubkey(), list(instructions), [], blockhash)
    return VersionedTransaction(message, [payer])


def make_mint(rpc: Caller, authority: Keypair, decimals: int = 6) -> Pubkey:
    mint = Keypair()
    rent = rpc("getMinimumBalanceForRentExemption", 82)
    params = CreateAccountParams(
        from_pubkey=authority.pubkey(), to_pubkey=mint.pubkey(), lamports=rent, space=82, owner=TOKEN
    )
    data = bytes([20, decimals]) + bytes(authority.pubkey()) + b"\0"
    begin = Instruction(TOKEN, data, [AccountMeta(mint.pubkey(), False, True)])
    rpc.run([authority, mint], create_account(params), begin)
    return mint.pubkey()


def mint_to(authority: Keypair, mint: Pubkey, place: Pubkey, amount: int) -> Instruction:
    metas = [
        AccountMeta(mint, False, True),
        AccountMeta(place, False, True),
        AccountMeta(authority.pubkey(), True, False),
    ]
    return Instruction(TOKEN, struct.pack("<BQ", 7, amount), metas)


def make_large(rpc: Caller, payer: Keypair) -> Keypair:
    """An account as large as they get."""
    large = Keypair()
    rent = rpc("getMinimumBalanceForRentExemption", PROGRAM_BYTES)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(), to_pubkey=large.pubkey(), lamports=rent, space=PROGRAM_BYTES, owner=SYSTEM
    )
    rpc.run([payer, large], create_account(params))
    return large
