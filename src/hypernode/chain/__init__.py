"""Solana: a local chain for development, and a client for programs on any."""
