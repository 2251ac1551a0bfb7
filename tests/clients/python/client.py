"""solana-py, unmodified: over HTTP and over WebSocket."""

import asyncio
import sys

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.models import TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

SOL = 10**9
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")


async def main(url: str, websocket_url: str) -> None:
    payer, to = Keypair(), Keypair().pubkey()
    async with AsyncClient(url, commitment=Confirmed) as client, SolanaWsClient(websocket_url) as feed:
        assert await client.is_connected()
        airdrop = (await client.request_airdrop(payer.pubkey(), 10 * SOL)).value
        await client.confirm_transaction(airdrop, Confirmed, sleep_seconds=0.1)
        await feed.account_subscribe(pubkey=to, commitment=Confirmed, encoding="base64")

        latest = (await client.get_latest_blockhash()).value
        pay = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=SOL))
        message = MessageV0.try_compile(payer.pubkey(), [pay], [], latest.blockhash)
        assert (await client.get_fee_for_message(message)).value == 5000
        sent = VersionedTransaction(message, [payer])
        simulated = (await client.simulate_transaction(sent)).value
        assert simulated.err is None
        signature = (await client.send_transaction(sent, TxOpts(preflight_commitment=Confirmed))).value
        await client.confirm_transaction(
            signature, Confirmed, sleep_seconds=0.1, last_valid_block_height=latest.last_valid_block_height
        )
        notice = await feed.recv()
        assert notice.result.value.lamports == SOL

        told = (await client.get_transaction(signature, max_supported_transaction_version=0)).value
        assert told.transaction.meta.compute_units_consumed == 150
        parsed = await client.get_transaction(signature, "jsonParsed", max_supported_transaction_version=0)
        assert parsed.value.transaction.transaction.message.instructions[0].program == "system"
        (listed,) = (await client.get_signatures_for_address(to)).value
        assert listed.signature == signature
        assert (await client.get_multiple_accounts([payer.pubkey(), to])).value[1].lamports == SOL
        assert (await client.get_token_accounts_by_owner(to, TokenAccountOpts(program_id=TOKEN))).value == []
        assert (await client.get_program_accounts(TOKEN, filters=[82])).value is not None
        assert (await client.get_epoch_info()).value.slots_in_epoch > 0
        assert (await client.get_recent_prioritization_fees([to])).value
        assert (await client.get_version()).value.solana_core

        much = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=100 * SOL))
        failing = VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [much], [], latest.blockhash), [payer])
        try:
            await client.send_transaction(failing, TxOpts(preflight_commitment=Confirmed))
        except RPCException as error:
            assert any("insufficient lamports" in line for line in error.args[0].data.logs)
        else:
            raise AssertionError("it was not refused")
    print("ok")


asyncio.run(main(*sys.argv[1:]))
