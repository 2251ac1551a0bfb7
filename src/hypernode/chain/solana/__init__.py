"""A client for Solana: transactions that are sent once, and programs spoken to from their IDL.

`client.py` asks, `transactions.py` builds and signs, `sending.py` sends so that nothing is executed twice, `idl/`
encodes and decodes for any program that has an Anchor IDL.
"""
