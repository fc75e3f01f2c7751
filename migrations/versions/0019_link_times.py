"""The time of a link between two keys, which decides who held a number that changed hands."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE contact_links ADD COLUMN linked_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch'::timestamptz"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE contact_links DROP COLUMN linked_at")
