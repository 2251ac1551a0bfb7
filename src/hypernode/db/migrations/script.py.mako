"""${message}."""

from __future__ import annotations

from alembic import op

from hypernode.db.migrate import run_script

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op, "${up_revision}.sql")
