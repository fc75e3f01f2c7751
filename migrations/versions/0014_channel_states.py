"""The outbox keeps each channel's pace and messages, and knows news that was superseded or told elsewhere."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
ALTER TABLE notifications
    ADD COLUMN superseded_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN rerouted_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN retried_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN alone BOOLEAN DEFAULT false NOT NULL""")
    op.execute("""
CREATE TABLE channel_states (
    channel TEXT COLLATE "C" NOT NULL,
    paused_until TIMESTAMP WITH TIME ZONE NOT NULL,
    faults INTEGER DEFAULT '0' NOT NULL,
    resent_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (channel)
)""")
    op.execute("""
CREATE TABLE channel_messages (
    alert_id BIGINT NOT NULL,
    channel TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reference TEXT COLLATE "C" DEFAULT '' NOT NULL,
    shared BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (alert_id, channel)
)""")


def downgrade() -> None:
    op.execute("DROP TABLE channel_messages")
    op.execute("DROP TABLE channel_states")
    op.execute("""
ALTER TABLE notifications
    DROP COLUMN superseded_at, DROP COLUMN rerouted_at, DROP COLUMN retried_at, DROP COLUMN alone""")
