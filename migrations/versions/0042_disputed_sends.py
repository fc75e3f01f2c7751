"""Whether several API keys reported a send: then only a report from before its failure says whose message it is."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE sends ADD COLUMN disputed BOOLEAN NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE sends DROP COLUMN disputed")
