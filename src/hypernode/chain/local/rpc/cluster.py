"""Methods about the network, which here is one process."""

from __future__ import annotations

from typing import Any

from solders.hash import Hash

from hypernode.chain.local.chain import Chain
from hypernode.chain.local.rpc.accounts import API_VERSION
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.params import Context, at

methods = Methods()


@methods.add("getHealth")
def get_health(chain: Chain) -> Any:
    """Always well: a chain that is not does not answer."""
    return "ok"


@methods.add("getVersion")
def get_version(chain: Chain) -> Any:
    """Of the runtime."""
    return {"solana-core": API_VERSION, "feature-set": 0}


@methods.add("getGenesisHash")
def get_genesis_hash(chain: Chain) -> Any:
    """What tells this chain from every other; drawn when it is made."""
    return str(Hash.from_bytes(chain.genesis))


@methods.add("getIdentity")
def get_identity(chain: Chain) -> Any:
    """The one who makes the blocks."""
    return {"identity": str(chain.identity)}


@methods.add("getSlotLeader")
def get_slot_leader(chain: Chain, context: Context | None = None) -> Any:
    """The same."""
    at(chain, context)
    return str(chain.identity)
