"""An index of due retries by the key that reported the message, so that one key's retries delay no other's claim."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE INDEX retries_key_due ON retries (reported_by, due_at, id) WHERE state IN ('waiting', 'leased')
""")


def downgrade() -> None:
    op.execute("DROP INDEX retries_key_due")
