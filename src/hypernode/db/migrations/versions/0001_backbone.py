"""The backbone: projects, ledger, artifacts, nodes, jobs, events."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0001_backbone"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0001_backbone.sql")
