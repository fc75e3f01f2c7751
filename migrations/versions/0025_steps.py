"""The first time each message took each step, and how many took it in each minute and hour."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE message_steps (
    message BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    delivered_at TIMESTAMP WITH TIME ZONE,
    read_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message)
) WITH (fillfactor = 85);
CREATE INDEX message_steps_time ON message_steps USING brin (sent_at, delivered_at, last_at)
    WITH (pages_per_range = 32);

CREATE TABLE step_counts (
    unit INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sent BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    read BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (unit, at, series_id, category)
);

CREATE TABLE step_recounts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL
);

CREATE TABLE step_progress (
    id INTEGER DEFAULT '1' NOT NULL,
    counted_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in ("step_progress", "step_recounts", "step_counts", "message_steps"):
        op.execute(f"DROP TABLE {table}")
