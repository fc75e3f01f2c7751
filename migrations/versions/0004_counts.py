"""Counts by minute and hour, and the dimensions they are counted under."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE series (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template TEXT COLLATE "C" DEFAULT '' NOT NULL,
    campaign TEXT COLLATE "C" DEFAULT '' NOT NULL,
    country TEXT COLLATE "C" DEFAULT '' NOT NULL,
    seen_on DATE DEFAULT CURRENT_DATE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT series_dimensions UNIQUE (phone_number_id, waba_id, template, campaign, country)
);

CREATE TABLE messages (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    was_at TIMESTAMP WITH TIME ZONE,
    was_series_id INTEGER,
    PRIMARY KEY (message_id, phone_number_id)
);

CREATE TABLE minute_counts (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    sent BIGINT DEFAULT '0' NOT NULL,
    delivered BIGINT DEFAULT '0' NOT NULL,
    read BIGINT DEFAULT '0' NOT NULL,
    failed BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (minute, series_id, slot)
);

CREATE TABLE failed_messages (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    error_code BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    alone BOOLEAN NOT NULL,
    was_alone BOOLEAN,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id)
);
CREATE INDEX failed_messages_again ON failed_messages (last_at) WHERE NOT alone;
CREATE INDEX failed_messages_time ON failed_messages USING brin (last_at);

CREATE TABLE failure_counts (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    error_code BIGINT NOT NULL,
    slot INTEGER NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (minute, series_id, error_code, slot)
);

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

CREATE TABLE message_stages (
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
CREATE INDEX message_stages_time ON message_stages
    USING brin (sent_at, delivered_at, last_at) WITH (pages_per_range = 32);

CREATE TABLE stage_counts (
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

CREATE TABLE stage_recounts (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE stage_progress (
    id INTEGER DEFAULT '1' NOT NULL,
    counted_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE TABLE lateness (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    events BIGINT,
    lags BIGINT[],
    reached BIGINT,
    unsent BIGINT,
    PRIMARY KEY (minute)
);
CREATE INDEX lateness_open ON lateness (minute) WHERE unsent IS NULL;
"""

_DOWNGRADE = """
DROP TABLE lateness;
DROP TABLE stage_progress;
DROP TABLE stage_recounts;
DROP TABLE stage_counts;
DROP TABLE message_stages;
DROP TABLE summed_hours;
DROP TABLE hourly_failures;
DROP TABLE hourly_counts;
DROP TABLE failure_counts;
DROP TABLE failed_messages;
DROP TABLE minute_counts;
DROP TABLE messages;
DROP TABLE series;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
