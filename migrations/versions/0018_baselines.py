"""Hours summed up, for what is usual; what an alert was last told as, and what mutes it; the last look of each rule."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE hourly_counts (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    events BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (hour, series_id)
);

CREATE TABLE hourly_failures (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    error_code BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (hour, error_code, series_id)
);

CREATE TABLE summed_hours (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    summed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (hour)
);

CREATE TABLE rule_looks (
    rule TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    groups INTEGER DEFAULT '0' NOT NULL,
    closeness FLOAT DEFAULT '0' NOT NULL,
    nearest JSONB NOT NULL,
    seen TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (rule)
);

ALTER TABLE alerts
    ADD COLUMN told_severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN muted_by BIGINT,
    ADD COLUMN muted_why TEXT COLLATE "C" DEFAULT '' NOT NULL;

CREATE INDEX quarantine_time ON quarantine (received_at);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX quarantine_time")
    for column in ("muted_why", "muted_by", "told_severity"):
        op.execute(f"ALTER TABLE alerts DROP COLUMN {column}")
    for table in ("rule_looks", "summed_hours", "hourly_failures", "hourly_counts"):
        op.execute(f"DROP TABLE {table}")
