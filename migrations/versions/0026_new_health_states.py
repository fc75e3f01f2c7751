"""When a state of an account, number or template was first reported, for the ceiling on new ones of an hour."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE health_changes ADD COLUMN new_at TIMESTAMP WITH TIME ZONE")
    op.execute("CREATE INDEX health_changes_new ON health_changes (new_at) WHERE new_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE health_changes DROP COLUMN new_at")
