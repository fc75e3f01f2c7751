"""Alerts, the outbox of notifications, silences, channel states."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE alerts (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    rule TEXT COLLATE "C" DEFAULT '' NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    state TEXT COLLATE "C" DEFAULT '' NOT NULL,
    group_key TEXT COLLATE "C" DEFAULT '' NOT NULL,
    "group" JSONB NOT NULL,
    codes BIGINT[] NOT NULL,
    evaluations_above INTEGER DEFAULT '0' NOT NULL,
    evaluations_below INTEGER DEFAULT '0' NOT NULL,
    repeats INTEGER DEFAULT '0' NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    rate FLOAT DEFAULT '0' NOT NULL,
    low FLOAT DEFAULT '0' NOT NULL,
    high FLOAT DEFAULT '0' NOT NULL,
    threshold FLOAT DEFAULT '0' NOT NULL,
    window_minutes INTEGER DEFAULT '0' NOT NULL,
    explanation JSONB DEFAULT '{}'::jsonb NOT NULL,
    covers_from TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    fired_at TIMESTAMP WITH TIME ZONE,
    resolved_at TIMESTAMP WITH TIME ZONE,
    evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    notified_at TIMESTAMP WITH TIME ZONE,
    acknowledged_at TIMESTAMP WITH TIME ZONE,
    acknowledged_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    snoozed_until TIMESTAMP WITH TIME ZONE,
    snoozed_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    notified_severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    muted_by BIGINT,
    muted_why TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX alerts_open ON alerts (rule, group_key) WHERE state IN ('pending', 'firing');
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX alerts_time ON alerts (started_at);

CREATE TABLE notifications (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    alert_id BIGINT NOT NULL,
    channel TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sequence INTEGER NOT NULL,
    payload JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_try_at TIMESTAMP WITH TIME ZONE NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE,
    tries INTEGER DEFAULT '0' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    last_error TEXT COLLATE "C" DEFAULT '' NOT NULL,
    superseded_at TIMESTAMP WITH TIME ZONE,
    rerouted_at TIMESTAMP WITH TIME ZONE,
    retried_at TIMESTAMP WITH TIME ZONE,
    alone BOOLEAN DEFAULT 'false' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT notifications_once UNIQUE (alert_id, channel, sequence)
);
CREATE INDEX notifications_due ON notifications (channel, next_try_at) WHERE sent_at IS NULL AND failed_at IS NULL;

CREATE TABLE notification_tries (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    notification_id BIGINT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX notification_tries_notification ON notification_tries (notification_id);

CREATE TABLE rule_evaluations (
    rule TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    groups INTEGER DEFAULT '0' NOT NULL,
    closeness FLOAT DEFAULT '0' NOT NULL,
    nearest JSONB NOT NULL,
    seen TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (rule)
);

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
);
CREATE INDEX silences_until ON silences (until);

CREATE TABLE channel_states (
    channel TEXT COLLATE "C" NOT NULL,
    paused_until TIMESTAMP WITH TIME ZONE NOT NULL,
    faults INTEGER DEFAULT '0' NOT NULL,
    resent_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (channel)
);

CREATE TABLE channel_messages (
    alert_id BIGINT NOT NULL,
    channel TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reference TEXT COLLATE "C" DEFAULT '' NOT NULL,
    shared BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (alert_id, channel)
);
"""

_DOWNGRADE = """
DROP TABLE channel_messages;
DROP TABLE channel_states;
DROP TABLE silences;
DROP TABLE rule_evaluations;
DROP TABLE notification_tries;
DROP TABLE notifications;
DROP TABLE alerts;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
