"""Narrow rows: room for changes in place."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0005_narrow_rows"
down_revision = "0004_turns"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0005_narrow_rows.sql")
