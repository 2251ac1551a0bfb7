"""What a local chain is started with, and every bound it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self

import msgspec

LAMPORTS_PER_SOL: Final = 1_000_000_000

SLOT_MS: Final = 400
"""Solana's slot time."""
FINALITY_SLOTS: Final = 32
"""Slots until a block is finalized: the depth of a validator's vote tower (31 votes) and one."""
CONFIRMED_SLOTS: Final = 1
"""Slots until a block is confirmed. The one validator there is votes for each block as it closes it."""
HASH_SLOTS: Final = 150
"""How long a blockhash can be used (MAX_PROCESSING_AGE of Agave)."""
STATUS_SLOTS: Final = 300
"""How long signatures are remembered to refuse the same transaction twice (MAX_RECENT_BLOCKHASHES of Agave)."""
HASHES_KEPT: Final = 512
"""How many slots programs see the hashes of (MAX_ENTRIES of Agave's SlotHashes); more than anything else needs."""
EPOCH_SLOTS: Final = 432_000

BODY_BYTES: Final = 50 * 1024
"""A request, as a validator bounds it (MAX_REQUEST_BODY_SIZE of Agave)."""
BATCH_REQUESTS: Final = 100
WIRE_BYTES: Final = 1232
"""A transaction: one packet (PACKET_DATA_SIZE of Agave)."""
MULTIPLE_ACCOUNTS: Final = 100
STATUSES: Final = 256
SIGNATURES: Final = 1000
"""Signatures one answer of getSignaturesForAddress lists."""
FILTERS: Final = 4
FILTER_BYTES: Final = 128
BASE58_BYTES: Final = 128
"""Longer account data is given in base64 only: base58 takes quadratic time."""
ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Account data in one answer, and all answers to one batch."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
REQUESTS: Final = 1024
"""Connections and requests at once, together; more get 503."""
CONNECTIONS: Final = 256
"""WebSockets at once."""
SUBSCRIPTIONS: Final = 100
"""Subscriptions of one connection."""
UNSENT_NOTICES: Final = 1000
"""Notices waiting for one connection before it is closed: whoever reads too slowly must not fill the memory."""
UNSENT_BYTES: Final = 32 * 1024 * 1024
"""And their bytes together: two notices of the largest accounts."""
PROGRAM_BYTES: Final = 10 * 1024 * 1024
"""An account, a program too (MAX_PERMITTED_DATA_LENGTH of Agave)."""
PROGRAMS: Final = 64
HISTORY: Final = 50_000
"""Transactions kept, at two or three KiB each; older ones are forgotten, as by a validator with a bounded ledger."""
AIRDROP_LAMPORTS: Final = 1_000_000 * LAMPORTS_PER_SOL
"""One airdrop."""
FAUCET_LAMPORTS: Final = 500_000_000 * LAMPORTS_PER_SOL
"""All airdrops together."""
WARP_SLOTS: Final = 1_000_000_000
WARP_SECONDS: Final = 100 * 365 * 24 * 3600

LEDGER_FILE: Final = "chain.sqlite"


class Program(msgspec.Struct, frozen=True):
    """A program that is there from the start. `authority` may upgrade it; without one nobody may."""

    address: str
    path: Path
    authority: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a local chain is started.

    `slot_ms`: milliseconds between slots; 0 moves on after each transaction, which then is final at once, and when
    asked to (`hypernode_warp`). `ledger`: a folder to keep the chain in; without one it lives in memory.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65534)] = 8899
    slot_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = SLOT_MS
    finality_slots: Annotated[int, msgspec.Meta(ge=1, le=HASH_SLOTS)] = FINALITY_SLOTS
    ledger: Path | None = None
    programs: Annotated[tuple[Program, ...], msgspec.Meta(max_length=PROGRAMS)] = ()
    all_features: bool = False
    """Every feature of the runtime rather than those active on mainnet."""

    def to_json(self) -> str:
        """For handing them to the process."""
        return msgspec.json.encode(self, enc_hook=str).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises msgspec.ValidationError."""
        return msgspec.json.decode(text, type=cls, dec_hook=lambda kind, value: kind(value))
