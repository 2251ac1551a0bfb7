"""Hypernode's programs on Solana, from a client's side: what they are made of, one deployment of them, and jobs on it.

`idl/`, `images/` and `typed/` are made by `make programs` from the sources in `programs/`. `bundle.py` reads the first
two, `network.py` calls the programs of one deployment, `jobs.py` has the way of a job, `deployment.py` says how one is
set up, and `local.py` sets one up on a local chain.
"""
