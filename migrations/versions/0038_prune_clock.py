"""The time that the age of data was counted from at the last pruning."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE prune_clock"
        " (id INTEGER DEFAULT 1 NOT NULL PRIMARY KEY, counted_from TIMESTAMP WITH TIME ZONE NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE prune_clock")
