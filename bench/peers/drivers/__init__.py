"""The peers' own side: one module a peer, run in the peer's own environment, so it may import the peer and the
standard library, but nothing of Hypernode. Everybody does the same no-op: a function that gives back what it was given.
"""
