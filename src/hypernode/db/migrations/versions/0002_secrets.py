"""Secrets of projects, sealed."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0002_secrets"
down_revision = "0001_backbone"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0002_secrets.sql")
