"""Parties of the network that tests play themselves."""
