"""Governance: stakes, rewards, proposals, cases, unlocks and burns."""

from __future__ import annotations

from alembic import op

from hypernode.db import migrate

revision = "0006_governance"
down_revision = "0005_narrow_rows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the statements beside this file."""
    migrate.run_script(op, "0006_governance.sql")
