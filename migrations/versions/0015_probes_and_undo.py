"""What is needed to let one probe through, and for the audit to replay and undo what it records."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Columns without a default, or with a constant one: no table is rewritten.
_UPGRADE = """
ALTER TABLE suppressions
    ADD COLUMN half_open_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN probe_until TIMESTAMP WITH TIME ZONE;
ALTER TABLE suppression_changes
    ADD COLUMN since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN half_open_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN seen_as TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN review BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN batch TEXT COLLATE "C" DEFAULT '' NOT NULL;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS suppression_changes_batch ON suppression_changes (batch, seq)"
            " WHERE batch <> ''"
        )
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS suppressions_review"
            " ON suppressions (contact, phone_number_id, scope, reason) WHERE review"
        )


def downgrade() -> None:
    op.execute("DROP INDEX suppressions_review")
    op.execute("DROP INDEX suppression_changes_batch")
    op.execute(
        "ALTER TABLE suppression_changes DROP COLUMN since, DROP COLUMN half_open_at, DROP COLUMN seen_as,"
        " DROP COLUMN review, DROP COLUMN batch"
    )
    op.execute("ALTER TABLE suppressions DROP COLUMN half_open_at, DROP COLUMN probe_until")
