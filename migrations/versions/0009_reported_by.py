"""The key that reported a send, and an index of the suppressions that reports led to."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UPGRADE = """
ALTER TABLE sends ADD COLUMN reported_by TEXT COLLATE "C" DEFAULT '' NOT NULL;
CREATE INDEX sends_reported ON sends (reported_by, registered_at) WHERE failed;
CREATE INDEX suppression_changes_reported ON suppression_changes (at) WHERE evidence @? '$[*].reported_by';
"""

_DOWNGRADE = """
DROP INDEX suppression_changes_reported;
DROP INDEX sends_reported;
ALTER TABLE sends DROP COLUMN reported_by;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
