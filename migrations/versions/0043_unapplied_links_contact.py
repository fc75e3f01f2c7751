"""The contacts of new links by index: the queue holds each once."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX unapplied_links_contact ON unapplied_links (contact)")


def downgrade() -> None:
    op.execute("DROP INDEX unapplied_links_contact")
