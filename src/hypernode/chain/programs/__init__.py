"""Hypernode's programs on Solana, from a client's side: what they are made of, one deployment of them, and jobs on it.

`idl/` and `images/` are made by `make programs` from the sources in `programs/`. `bundle.py` reads them, `network.py`
calls the programs of one deployment, `deployment.py` sets one up, `local.py` does so on a local chain.
"""
