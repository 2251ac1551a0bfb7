"""The statements of secrets. No other room reads or writes their table."""

from __future__ import annotations

from typing import Final

from hypernode.db.sql import load_sql

queries: Final = load_sql(__package__)
