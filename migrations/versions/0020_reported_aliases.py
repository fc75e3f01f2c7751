"""The number that a sender wrote to, where Meta answered with another id: an alias for the sender's own checks."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""ALTER TABLE sends ADD COLUMN given TEXT COLLATE "C" DEFAULT '' NOT NULL""")
    op.execute("CREATE INDEX sends_given ON sends (reported_by, given, sent_at) WHERE given <> ''")


def downgrade() -> None:
    op.execute("ALTER TABLE sends DROP COLUMN given")
