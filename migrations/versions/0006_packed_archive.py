"""The raw archive holds the bodies of a commit together, compressed; rows written before hold one body each."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ADD COLUMN packed BOOLEAN DEFAULT false NOT NULL")


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE packed")
    op.execute("ALTER TABLE deliveries DROP COLUMN packed")
