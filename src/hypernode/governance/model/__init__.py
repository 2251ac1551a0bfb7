"""The rules, pure: frozen structs in, frozen structs out, integers only, time and height given.

The Solana programs in `programs/` do the same, and refuse by the same names; a state machine drives both through the
same histories. A height is whatever orders changes: a slot on chain, a sequence number in the embedded ledger. Times
are Unix seconds, amounts µHYPER, rates basis points; every division floors.
"""
