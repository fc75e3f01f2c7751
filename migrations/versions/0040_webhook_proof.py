"""For which codes webhooks alone show an alert, and until when: reports of senders may be made up."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE alerts ADD COLUMN webhook_codes BIGINT[], ADD COLUMN webhooks_until TIMESTAMP WITH TIME ZONE"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE alerts DROP COLUMN webhook_codes, DROP COLUMN webhooks_until")
