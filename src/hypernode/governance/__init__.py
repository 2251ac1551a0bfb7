"""Staking, rewards, slashing, proposals, the monthly unlock: one set of rules for the embedded ledger and the chain."""
