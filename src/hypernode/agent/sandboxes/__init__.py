"""Sandboxes: where a stranger's job runs. `base` is the interface, every other backend module implements it.

This package file imports nothing, because the launcher process (see `launcher`) imports it and must stay small.
"""
