"""A job keeps the shares of its prices that it was submitted under."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0008_kept_shares"
down_revision = "0007_newest_first"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0008_kept_shares.sql")
