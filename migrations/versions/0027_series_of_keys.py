"""The API key whose report made a series, for a ceiling of each key on new ones of an hour."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE series ADD COLUMN reported_by TEXT COLLATE \"C\" NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE series DROP COLUMN reported_by")
