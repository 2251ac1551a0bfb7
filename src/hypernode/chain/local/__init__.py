"""A local Solana chain: the real runtime (Agave's SVM, through LiteSVM) behind the JSON-RPC interface of a validator.

It runs in a process and an environment of its own, since it pins a version of solders that clients need not share.
From outside only `settings`, `environment` and `process` are imported; everything else belongs to the node's process.
"""
