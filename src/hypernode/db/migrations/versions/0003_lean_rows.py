"""Rows that cost less to write, and that can be changed in place."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0003_lean_rows"
down_revision = "0002_secrets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0003_lean_rows.sql")
