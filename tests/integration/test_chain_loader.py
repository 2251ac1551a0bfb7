"""Programs deployed to the local chain through the real loader."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    create_account,
)

from hypernode.chain.local.settings import Settings
from integration.chain_fixtures import (
    MEMO,
    SYSTEM,
    Caller,
    RpcFailure,
    local_chain,
)

LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")


def write_buffer(rpc: Caller, payer: Keypair, code: bytes) -> Pubkey:
    buffer = Keypair()
    space = 37 + len(code)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(),
        to_pubkey=buffer.pubkey(),
        lamports=rpc("getMinimumBalanceForRentExemption", space),
        space=space,
        owner=LOADER,
    )
    metas = [AccountMeta(buffer.pubkey(), False, True), AccountMeta(payer.pubkey(), True, False)]
    rpc.run([payer, buffer], create_account(params), Instruction(LOADER, struct.pack("<I", 0), metas))
    for at in range(0, len(code), 900):
        part = code[at : at + 900]
        rpc.run([payer], Instruction(LOADER, struct.pack("<IIQ", 1, at, len(part)) + part, metas))
    return buffer.pubkey()


def deploy(rpc: Caller, payer: Keypair, code: bytes) -> Pubkey:
    program = Keypair()
    place, _ = Pubkey.find_program_address([bytes(program.pubkey())], LOADER)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(),
        to_pubkey=program.pubkey(),
        lamports=rpc("getMinimumBalanceForRentExemption", 36),
        space=36,
        owner=LOADER,
    )
    metas = [
        AccountMeta(payer.pubkey(), True, True),
        *(AccountMeta(key, False, True) for key in (place, program.pubkey(), write_buffer(rpc, payer, code))),
        *(AccountMeta(key, False, False) for key in (RENT, CLOCK, SYSTEM)),
        AccountMeta(payer.pubkey(), True, False),
    ]
    rpc.run([payer, program], create_account(params), Instruction(LOADER, struct.pack("<IQ", 2, 2 * len(code)), metas))
    return program.pubkey()


def upgrade(rpc: Caller, payer: Keypair, program: Pubkey, code: bytes) -> None:
    place, _ = Pubkey.find_program_address([bytes(program)], LOADER)
    changed = (place, program, write_buffer(rpc, payer, code), payer.pubkey())
    metas = [
        *(AccountMeta(key, False, True) for key in changed),
        *(AccountMeta(key, False, False) for key in (RENT, CLOCK)),
        AccountMeta(payer.pubkey(), True, False),
    ]
    rpc.run([payer], Instruction(LOADER, struct.pack("<I", 3), metas))


def test_a_program_is_deployed_and_upgraded_through_the_real_loader(tmp_path: Path) -> None:
    """In the steps of the official tool; the code is the memo program's. A chain that is kept has it again."""
    settings = Settings(port=0, slot_ms=0, ledger=tmp_path)
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        payer, other = rpc.funded(), rpc.funded()
        code = base64.b64decode(rpc("getAccountInfo", str(MEMO), {"encoding": "base64"})["value"]["data"][0])
        program = deploy(rpc, payer, code)
        remember = Instruction(program, b"hello", [AccountMeta(payer.pubkey(), True, False)])
        told: Any = rpc("getTransaction", rpc.run([payer], remember), {"maxSupportedTransactionVersion": 0})
        assert told["meta"]["logMessages"][0] == f"Program {program} invoke [1]"
        upgrade(rpc, payer, program, code)
        rpc.run([payer], remember)
        with pytest.raises(RpcFailure, match="Error processing Instruction 0"):
            upgrade(rpc, other, program, code)
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        rpc.run([payer], remember)
        upgrade(rpc, payer, program, code)
