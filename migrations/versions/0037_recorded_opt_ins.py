"""An index of opt-ins by the key that recorded them, which may record a limited number within an hour."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX opt_ins_recorded ON opt_ins (actor, recorded_at)")


def downgrade() -> None:
    op.execute("DROP INDEX opt_ins_recorded")
