"""The systems beside us: the same no-op in Hypernode and in its peers, one after the other on the same machine."""
