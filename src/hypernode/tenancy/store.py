"""The statements of projects, API keys and remembered answers. No other room reads or writes their tables."""

from __future__ import annotations

from typing import Final

from hypernode.db.sql import load_sql

queries: Final = load_sql(__package__)
