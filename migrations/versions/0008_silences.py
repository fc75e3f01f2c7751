"""Silences: who wants to hear nothing of which alerts, and until when. An alert remembers who snoozed it."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE TABLE silences (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    matchers JSONB NOT NULL,
    author TEXT COLLATE "C" DEFAULT '' NOT NULL,
    comment TEXT COLLATE "C" DEFAULT '' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
)""")
    op.execute("CREATE INDEX silences_until ON silences (until)")
    op.execute("ALTER TABLE alerts ADD COLUMN snoozed_by TEXT COLLATE \"C\" DEFAULT '' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE alerts DROP COLUMN snoozed_by")
    op.execute("DROP TABLE silences")
