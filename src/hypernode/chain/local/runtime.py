"""The runtime of validators, as LiteSVM has it, with what of its own would be in our way switched off."""

from __future__ import annotations

from typing import Final

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

GENESIS_LAMPORTS: Final = 10**18
PRECOMPILES: Final = tuple(
    map(
        Pubkey.from_string,
        (
            "Ed25519SigVerify111111111111111111111111111",
            "KeccakSecp256k11111111111111111111111111111",
            "Secp256r1SigVerify1111111111111111111111111",
        ),
    )
)
NATIVE_LOADER: Final = Pubkey.from_string("NativeLoader1111111111111111111111111111111")
LOG_BYTES: Final = 10_000
"""Logs of one transaction; more is cut, as validators do."""


def runtime(all_features: bool) -> LiteSVM:
    """A runtime with its programs, under mainnet's features or all."""
    # Whatever makes a window of blockhashes is ours: the runtime's own check knows only its latest. Signatures are
    # verified where a transaction comes in, so that simulations can do without.
    svm = LiteSVM.default()
    if not all_features:
        svm = svm.with_feature_set(LiteSVM.mainnet_feature_set())
    svm = (
        svm.with_builtins()
        .with_lamports(GENESIS_LAMPORTS)
        .with_sysvars()
        .with_feature_accounts()
        .with_default_programs()
        .with_sigverify(False)
        .with_blockhash_check(False)
        .with_transaction_history(0)
        .with_log_bytes_limit(LOG_BYTES)
    )
    # The runtime verifies their signatures, but a builder leaves out the accounts under which they are called.
    for key in PRECOMPILES:
        svm.set_account(key, Account(1, b"", NATIVE_LOADER, executable=True))
    return svm
