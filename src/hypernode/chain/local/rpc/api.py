"""All methods together."""

from __future__ import annotations

from typing import Final

from hypernode.chain.local.rpc import accounts, blocks, cluster, holdings, transactions
from hypernode.chain.local.rpc.dispatch import Methods

METHODS: Final = Methods()
for _module in (accounts, holdings, transactions, blocks, cluster):
    METHODS.include(_module.methods)
