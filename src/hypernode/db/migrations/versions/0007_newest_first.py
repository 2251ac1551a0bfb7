"""Rows that change all the time are found by their newest version."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0007_newest_first"
down_revision = "0006_governance"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0007_newest_first.sql")
