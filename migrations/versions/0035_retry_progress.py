"""How far failures have been searched for retries, for webhooks and for each key that reported failed calls."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_UPGRADE = """
ALTER TABLE retry_progress DROP COLUMN one;
ALTER TABLE retry_progress ADD COLUMN reported_by TEXT COLLATE "C" DEFAULT '' NOT NULL;
ALTER TABLE retry_progress ADD PRIMARY KEY (reported_by);
"""
_DOWNGRADE = """
DELETE FROM retry_progress WHERE reported_by <> '';
ALTER TABLE retry_progress DROP COLUMN reported_by;
ALTER TABLE retry_progress ADD COLUMN one BOOLEAN DEFAULT true NOT NULL CHECK (one), ADD PRIMARY KEY (one);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
