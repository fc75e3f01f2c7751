"""A message that an API key reported is sent again by that key only."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE retries ADD COLUMN reported_by TEXT COLLATE \"C\" DEFAULT '' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE retries DROP COLUMN reported_by")
