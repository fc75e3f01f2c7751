"""Incidents: one row per cause, with the alerts that belong to it as evidence."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE incidents (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    title TEXT COLLATE "C" DEFAULT '' NOT NULL,
    state TEXT COLLATE "C" DEFAULT '' NOT NULL,
    severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    domain TEXT COLLATE "C" DEFAULT '' NOT NULL,
    account_wide BOOLEAN DEFAULT false NOT NULL,
    codes BIGINT[] NOT NULL,
    names JSONB NOT NULL,
    slice JSONB,
    began_at TIMESTAMP WITH TIME ZONE NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    notified_at TIMESTAMP WITH TIME ZONE,
    last_notified_at TIMESTAMP WITH TIME ZONE,
    notified_severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    repeats INTEGER DEFAULT '0' NOT NULL,
    again INTEGER DEFAULT '0' NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_how TEXT COLLATE "C" DEFAULT '' NOT NULL,
    evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    rate FLOAT DEFAULT '0' NOT NULL,
    low FLOAT DEFAULT '0' NOT NULL,
    high FLOAT DEFAULT '0' NOT NULL,
    threshold FLOAT DEFAULT '0' NOT NULL,
    window_minutes INTEGER DEFAULT '0' NOT NULL,
    worst_rate FLOAT DEFAULT '0' NOT NULL,
    worst_at TIMESTAMP WITH TIME ZONE,
    total_failures BIGINT DEFAULT '0' NOT NULL,
    contacts BIGINT DEFAULT '0' NOT NULL,
    counted_at TIMESTAMP WITH TIME ZONE,
    advice TEXT COLLATE "C" DEFAULT '' NOT NULL,
    details JSONB NOT NULL,
    silenced_by BIGINT,
    acknowledged_at TIMESTAMP WITH TIME ZONE,
    acknowledged_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    snoozed_until TIMESTAMP WITH TIME ZONE,
    snoozed_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX incidents_ended ON incidents (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX incidents_open ON incidents (id) WHERE state = 'open';

ALTER TABLE alerts ADD COLUMN incident_id BIGINT, ADD COLUMN ended_how TEXT COLLATE "C" DEFAULT '' NOT NULL;
ALTER TABLE alerts
    DROP COLUMN repeats, DROP COLUMN notified_at, DROP COLUMN notified_severity, DROP COLUMN muted_by,
    DROP COLUMN muted_why, DROP COLUMN acknowledged_at, DROP COLUMN acknowledged_by, DROP COLUMN snoozed_until,
    DROP COLUMN snoozed_by;
CREATE INDEX alerts_incident ON alerts (incident_id) WHERE incident_id IS NOT NULL;

ALTER TABLE notifications RENAME COLUMN alert_id TO incident_id;
ALTER TABLE channel_messages RENAME COLUMN alert_id TO incident_id;
"""

_DOWNGRADE = """
ALTER TABLE channel_messages RENAME COLUMN incident_id TO alert_id;
ALTER TABLE notifications RENAME COLUMN incident_id TO alert_id;
ALTER TABLE alerts
    ADD COLUMN repeats INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN notified_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN notified_severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN muted_by BIGINT,
    ADD COLUMN muted_why TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN acknowledged_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN acknowledged_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN snoozed_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN snoozed_by TEXT COLLATE "C" DEFAULT '' NOT NULL;
ALTER TABLE alerts DROP COLUMN incident_id, DROP COLUMN ended_how;
DROP TABLE incidents;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
