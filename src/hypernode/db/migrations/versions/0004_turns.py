"""Turns: the queue by project."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0004_turns"
down_revision = "0003_lean_rows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0004_turns.sql")
