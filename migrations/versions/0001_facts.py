"""What Meta told us: status events, failures, inbound messages, preferences, signals, raw bodies, quarantine."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE status_events (
    message_id TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    status TEXT DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    participant TEXT DEFAULT '' NOT NULL,
    error_code BIGINT DEFAULT '-1' NOT NULL,
    contact TEXT DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    category TEXT DEFAULT '' NOT NULL,
    callback_data TEXT DEFAULT '' NOT NULL,
    clock_replaced BOOLEAN DEFAULT false NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id, status, occurred_at, participant, error_code)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX status_events_contact ON status_events (contact, occurred_at);

CREATE TABLE status_events_default PARTITION OF status_events DEFAULT;

CREATE TABLE failures (
    message_id TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    participant TEXT DEFAULT '' NOT NULL,
    error_code BIGINT NOT NULL,
    contact TEXT DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    title TEXT DEFAULT '' NOT NULL,
    details TEXT DEFAULT '' NOT NULL,
    errors JSONB,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (message_id, phone_number_id, occurred_at, participant, error_code)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX failures_contact ON failures (contact, occurred_at);

CREATE INDEX failures_recent ON failures (occurred_at, error_code, series_id);

CREATE INDEX failures_unconsidered ON failures (received_at) WHERE considered_at IS NULL;

CREATE TABLE failures_default PARTITION OF failures DEFAULT;

CREATE TABLE inbound_messages (
    message_id TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    contact TEXT DEFAULT '' NOT NULL,
    kind TEXT DEFAULT '' NOT NULL,
    keyword TEXT DEFAULT '' NOT NULL,
    opens_window BOOLEAN NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (message_id, phone_number_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX inbound_contact ON inbound_messages (contact, occurred_at);

CREATE INDEX inbound_unconsidered ON inbound_messages (received_at) WHERE considered_at IS NULL;

CREATE TABLE inbound_messages_default PARTITION OF inbound_messages DEFAULT;

CREATE TABLE preferences (
    contact TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    category TEXT DEFAULT '' NOT NULL,
    value TEXT DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (contact, phone_number_id, category, value, occurred_at)
);

CREATE INDEX preferences_unconsidered ON preferences (received_at) WHERE considered_at IS NULL;

CREATE TABLE health_signals (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    identity BYTEA NOT NULL,
    field TEXT DEFAULT '' NOT NULL,
    event TEXT DEFAULT '' NOT NULL,
    waba_id TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    display_phone_number TEXT DEFAULT '' NOT NULL,
    template_id TEXT DEFAULT '' NOT NULL,
    template_name TEXT DEFAULT '' NOT NULL,
    template_language TEXT DEFAULT '' NOT NULL,
    error_code BIGINT DEFAULT '-1' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    payload JSONB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (identity)
);

CREATE INDEX health_signals_time ON health_signals (occurred_at);

CREATE TABLE deliveries (
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body BYTEA NOT NULL
) PARTITION BY RANGE (received_at);

CREATE INDEX deliveries_time ON deliveries USING brin (received_at);

CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

CREATE TABLE quarantine (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    identity BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    field TEXT DEFAULT '' NOT NULL,
    waba_id TEXT DEFAULT '' NOT NULL,
    item TEXT,
    body BYTEA,
    replayed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    UNIQUE (identity)
);

CREATE TABLE clock_repairs (
    message_id TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    status TEXT DEFAULT '' NOT NULL,
    raw_timestamp TEXT DEFAULT '' NOT NULL,
    participant TEXT DEFAULT '' NOT NULL,
    error_code BIGINT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id, status, raw_timestamp, participant, error_code)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in ("clock_repairs", "quarantine", "deliveries", "health_signals", "preferences", "inbound_messages", "failures", "status_events",):
        op.execute(f"DROP TABLE {table}")
