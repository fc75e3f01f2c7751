"""Failures of a message that only send calls show have a stage of their own: they are no delivery report."""

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE message_stages ADD COLUMN call_failed_at TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    op.execute(
        "UPDATE message_stages SET failed_at = least(failed_at, call_failed_at) WHERE call_failed_at IS NOT NULL"
    )
    op.execute("ALTER TABLE message_stages DROP COLUMN call_failed_at")
