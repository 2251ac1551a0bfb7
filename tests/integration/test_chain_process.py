"""The local chain as a process: starting, keeping, crashing, stopping."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from hypernode.chain.local.settings import Program, Settings
from hypernode.chain.solana import tokens
from hypernode.chain.solana.tokens import ASSOCIATED, TOKEN
from hypernode.kernel.errors import InvalidInput
from integration.chain_fixtures import (
    HOME,
    SOL,
    Caller,
    RpcFailure,
    local_chain,
    make_mint,
    mint_to,
    pay,
    signed,
)


def test_a_kept_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = Settings(port=0, slot_ms=60_000, finality_slots=2, ledger=tmp_path / "ledger")
    with local_chain(settings) as first:
        rpc = Caller(first.url)
        payer, owner = rpc.funded(), Keypair().pubkey()
        mint = make_mint(rpc, payer)
        rpc.run([payer], tokens.open_place(payer.pubkey(), owner, mint))
        again = signed(payer, rpc.blockhash(), pay(payer, owner, SOL))
        rpc.send(again)
        genesis, balance = rpc("getGenesisHash"), rpc.balance(payer.pubkey())
        count = rpc("getTransactionCount")
        time_then = rpc("hypernode_warp", {"slots": 1, "seconds": 10_000_000})["unixTimestamp"]
        rpc.run([payer], pay(payer, owner, SOL))
        with pytest.raises(InvalidInput, match="another chain has it open"):
            local_chain(settings).start()
        assert first.process is not None
        first.process.kill()  # what closed blocks hold is there nevertheless
        first.process.wait()
    with local_chain(settings) as second:
        rpc = Caller(second.url)
        assert (rpc("getGenesisHash"), rpc.balance(payer.pubkey())) == (genesis, balance)
        assert rpc("getTransactionCount") == count
        with pytest.raises(RpcFailure, match="already been processed"):
            rpc.send(again)
        asked = {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
        told: Any = rpc("getTransaction", str(again.signatures[0]), asked)
        assert told["meta"]["err"] is None
        assert rpc("hypernode_warp", {})["unixTimestamp"] >= time_then
        rpc.run([payer], mint_to(payer, mint, get_associated_token_address(owner, mint), 5))
        assert rpc("getTokenSupply", str(mint), {"commitment": "processed"})["value"]["amount"] == "5"


def test_what_was_confirmed_is_there_after_a_crash(tmp_path: Path) -> None:
    """Killed at some moment, again and again: what was only processed may be lost, and can be sent again."""
    settings = Settings(port=0, slot_ms=20, finality_slots=4, ledger=tmp_path)
    confirmed: dict[str, Pubkey] = {}
    for seed in range(4):
        with local_chain(settings) as chain:
            assert chain.process is not None
            rpc = Caller(chain.url)
            for signature, to in confirmed.items():
                (status,) = rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"]
                assert status["err"] is None
                assert rpc.balance(to) == SOL
            payer = rpc.funded(1000 * SOL)
            killer = threading.Timer(random.Random(seed).uniform(0.2, 1.0), chain.process.kill)
            killer.start()
            with contextlib.suppress(httpx.HTTPError):
                while True:
                    to = Keypair().pubkey()
                    signature, known = rpc.run([payer], pay(payer, to, SOL)), None
                    while known not in ("confirmed", "finalized"):
                        known = rpc("getSignatureStatuses", [signature])["value"][0]["confirmationStatus"]
                    confirmed[signature] = to
            killer.join()
    assert len(confirmed) > 4


def test_a_ledger_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite").write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(InvalidInput, match="--reset makes a new one"):
        local_chain(Settings(port=0, ledger=tmp_path)).start()


def test_what_is_stopped_in_order_loses_nothing(tmp_path: Path) -> None:
    """Not even the block that is open."""
    settings = Settings(port=0, slot_ms=60_000, ledger=tmp_path)
    with local_chain(settings) as first:
        payer = Caller(first.url).funded()
    with local_chain(settings) as second:
        assert Caller(second.url).balance(payer.pubkey()) == 10 * SOL


def test_a_program_from_a_file_and_one_that_is_none(tmp_path: Path) -> None:
    """The associated token program, taken from the chain itself, under another address."""
    with local_chain(Settings(port=0, slot_ms=0)) as chain:
        rpc = Caller(chain.url)
        code = base64.b64decode(rpc("getAccountInfo", str(ASSOCIATED), {"encoding": "base64"})["value"]["data"][0])
    path, address = tmp_path / "program.so", str(Keypair().pubkey())
    path.write_bytes(code)
    settings = Settings(port=0, slot_ms=0, programs=(Program(address, path, str(Keypair().pubkey())),))
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        assert rpc("getAccountInfo", address, {"encoding": "base64"})["value"]["executable"] is True
        payer = rpc.funded()
        mint = make_mint(rpc, payer)
        owner = Keypair().pubkey()
        place, _ = Pubkey.find_program_address([bytes(owner), bytes(TOKEN), bytes(mint)], Pubkey.from_string(address))
        made = tokens.open_place(payer.pubkey(), owner, mint)
        metas = [AccountMeta(place, False, True) if at == 1 else meta for at, meta in enumerate(made.accounts)]
        rpc.run([payer], Instruction(Pubkey.from_string(address), bytes(made.data), metas))
        assert rpc("getTokenAccountBalance", str(place))["value"]["amount"] == "0"
    path.write_bytes(b"not a program")
    with pytest.raises(InvalidInput, match="is not a program that the runtime can load"):
        local_chain(settings).start()


def test_the_command_runs_it_until_ctrl_c(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "hypernode",
        "chain:local",
        "--port",
        "0",
        "--ledger",
        str(tmp_path / "ledger"),
    ]
    environment = {**os.environ, "HYPERNODE_HOME": str(HOME)}
    for options in ([], ["--reset"]):
        started = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment)
        assert started.stderr is not None
        try:
            lines = [started.stderr.readline(), started.stderr.readline()]
            (url,) = re.findall(r"ready at (http://\S+),", lines[1])
            assert Caller(url)("getTransactionCount", {"commitment": "processed"}) == 0
            Caller(url).funded()
            busy = subprocess.run([*command, "--reset"], capture_output=True, text=True, env=environment, check=False)
            assert busy.returncode != 0
            assert "is in use" in busy.stderr
        finally:
            started.send_signal(signal.SIGINT)
        assert started.wait(10) == 0
        assert "stopped" in started.stderr.read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "say --public"),
        (["--reset"], "say which with --ledger"),
        (["--program", "x"], "ADDRESS=FILE.so"),
        (["--program", "abc=x.so"], "public key"),
        (["--program", f"{TOKEN}=/nowhere.so"], "cannot read /nowhere.so"),
        (["--network", "/nowhere/network.json"], "cannot write /nowhere/network.json"),
        (["--network", "/dev/null"], "holds no network"),
    ],
)
def test_what_the_command_refuses(options: list[str], said: str) -> None:
    command = [sys.executable, "-P", "-m", "hypernode", "chain:local", "--port", "0", *options]
    environment = {**os.environ, "HYPERNODE_HOME": str(HOME)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2  # wrong input
    assert said in done.stderr


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidInput, match="choose others with --port"):
            local_chain(Settings(port=taken.getsockname()[1])).start()
