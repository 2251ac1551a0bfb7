"""solana-py, unmodified, with one of the programs: a node is registered from what the IDL says, and read back."""

import asyncio
import json
import sys
from pathlib import Path

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.models import MemcmpOpts, TxOpts
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

SYSTEM = "11111111111111111111111111111111"


async def main(url: str, idl_file: str, address: str) -> None:
    idl = json.loads(Path(idl_file).read_text())
    program, owner, key, capability = Pubkey.from_string(address), Keypair(), Keypair(), bytes(range(32))
    (register,) = [item for item in idl["instructions"] if item["name"] == "register"]
    (record,) = [item for item in idl["accounts"] if item["name"] == "Node"]
    (seeds,) = [item["pda"]["seeds"] for item in register["accounts"] if item["name"] == "node"]
    node, _ = Pubkey.find_program_address([bytes(seeds[0]["value"]), bytes(key.pubkey())], program)
    addresses = {"owner": owner.pubkey(), "key": key.pubkey(), "node": node, "system": Pubkey.from_string(SYSTEM)}
    metas = [
        AccountMeta(addresses[item["name"]], item.get("signer", False), item.get("writable", False))
        for item in register["accounts"]
    ]
    made = Instruction(program, bytes(register["discriminator"]) + capability, metas)

    async with AsyncClient(url, commitment=Confirmed) as client:
        airdrop = (await client.request_airdrop(owner.pubkey(), 10**9)).value
        await client.confirm_transaction(airdrop, Confirmed, sleep_seconds=0.1)

        async def send() -> None:
            latest = (await client.get_latest_blockhash()).value
            message = MessageV0.try_compile(owner.pubkey(), [made], [], latest.blockhash)
            signed = VersionedTransaction(message, [owner, key])
            signature = (await client.send_transaction(signed, TxOpts(preflight_commitment=Confirmed))).value
            await client.confirm_transaction(
                signature, Confirmed, sleep_seconds=0.1, last_valid_block_height=latest.last_valid_block_height
            )

        await send()
        found = (await client.get_account_info(node)).value
        assert found.owner == program
        assert found.data.startswith(
            bytes(record["discriminator"]) + bytes(key.pubkey()) + bytes(owner.pubkey()) + capability
        )
        mine = [MemcmpOpts(offset=40, bytes=str(owner.pubkey()))]
        (listed,) = (await client.get_program_accounts(program, encoding="base64", filters=mine)).value
        assert listed.pubkey == node
        try:
            await send()
        except RPCException as error:
            assert any("custom program error" in line or "failed" in line for line in error.args[0].data.logs)
        else:
            raise AssertionError("a node was registered twice")
    print("ok")


asyncio.run(main(*sys.argv[1:]))
