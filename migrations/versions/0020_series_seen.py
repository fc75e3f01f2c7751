"""A series says on which day it was last used, so that unused ones can go."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE series ADD COLUMN seen_on DATE DEFAULT CURRENT_DATE NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE series DROP COLUMN seen_on")
