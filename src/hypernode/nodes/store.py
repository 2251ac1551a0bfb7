"""The statements of nodes, join tokens and coordinators. No other room writes their tables."""

from __future__ import annotations

from typing import Final

from hypernode.db.sql import load_sql

queries: Final = load_sql(__package__)
