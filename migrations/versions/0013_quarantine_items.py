"""Quarantined items of one body that are alike share a row, which counts them."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE quarantine ADD COLUMN items INTEGER DEFAULT '1' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE quarantine DROP COLUMN items")
