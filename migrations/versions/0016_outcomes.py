"""Counts of messages without a delivery report in time, by when they were sent, and of slow ones, by when they came."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = (
    *("watched", "unreported_5m", "unreported_15m", "unreported_30m", "unreported_60m"),
    *("timed", "slower_10s", "slower_30s", "slower_60s", "slower_120s", "slower_300s", "slower_900s"),
)


# Messages of before are not watched: their counts begin with the next message.
def upgrade() -> None:
    op.execute("ALTER TABLE message_stages ADD COLUMN sent_live BOOLEAN NOT NULL DEFAULT FALSE")
    added = ", ".join(f"ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0" for name in _COLUMNS)
    op.execute(f"ALTER TABLE stage_counts {added}")


def downgrade() -> None:
    op.execute(f"ALTER TABLE stage_counts {', '.join(f'DROP COLUMN {name}' for name in _COLUMNS)}")
    op.execute("ALTER TABLE message_stages DROP COLUMN sent_live")
