"""The rules once more, pure and by themselves, as what the programs and the embedded ledger are compared with.

Frozen structs in, frozen structs out, integers only, time and height given. Nothing here is shared with what it is
compared with: a mistake has to be made twice to go unnoticed. A height is whatever orders changes: a slot on chain, a
sequence number in the embedded ledger. Times are Unix seconds, amounts µHYPER, rates basis points; every division
floors.
"""
