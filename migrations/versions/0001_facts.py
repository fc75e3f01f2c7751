"""What Meta told us: status events, failures, inbound messages, preferences, signals, raw bodies, quarantine."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE status_events (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    participant TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error_code BIGINT DEFAULT '-1' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    callback_data TEXT COLLATE "C" DEFAULT '' NOT NULL,
    clock_replaced BOOLEAN DEFAULT false NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id, status, occurred_at, participant, error_code)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX status_events_contact ON status_events (contact, occurred_at);

CREATE TABLE status_events_default PARTITION OF status_events DEFAULT;

CREATE TABLE failures (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    participant TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error_code BIGINT NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    title TEXT COLLATE "C" DEFAULT '' NOT NULL,
    details TEXT COLLATE "C" DEFAULT '' NOT NULL,
    errors JSONB,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    explained_by BIGINT,
    PRIMARY KEY (message_id, phone_number_id, occurred_at, participant, error_code)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX failures_contact ON failures (contact, occurred_at);

CREATE INDEX failures_recent ON failures (occurred_at, error_code, series_id);

CREATE INDEX failures_unconsidered ON failures (explained_by, received_at) WHERE considered_at IS NULL;

CREATE TABLE failures_default PARTITION OF failures DEFAULT;

CREATE TABLE inbound_messages (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    keyword TEXT COLLATE "C" DEFAULT '' NOT NULL,
    opens_window BOOLEAN NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (message_id, phone_number_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX inbound_contact ON inbound_messages (contact, occurred_at);

CREATE INDEX inbound_unconsidered ON inbound_messages (received_at) WHERE considered_at IS NULL;

CREATE TABLE inbound_messages_default PARTITION OF inbound_messages DEFAULT;

CREATE TABLE preferences (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    value TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (contact, phone_number_id, category, value, occurred_at)
);

CREATE INDEX preferences_unconsidered ON preferences (received_at) WHERE considered_at IS NULL;

CREATE TABLE health_signals (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    identity BYTEA NOT NULL,
    field TEXT COLLATE "C" DEFAULT '' NOT NULL,
    event TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    display_phone_number TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_language TEXT COLLATE "C" DEFAULT '' NOT NULL,
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

ALTER TABLE deliveries ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

CREATE TABLE quarantine (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    identity BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    field TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    item TEXT,
    body BYTEA,
    replayed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    UNIQUE (identity)
);

CREATE TABLE clock_repairs (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT COLLATE "C" DEFAULT '' NOT NULL,
    raw_timestamp TEXT COLLATE "C" DEFAULT '' NOT NULL,
    participant TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error_code BIGINT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id, status, raw_timestamp, participant, error_code)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in (
        "clock_repairs",
        "quarantine",
        "deliveries",
        "health_signals",
        "preferences",
        "inbound_messages",
        "failures",
        "status_events",
    ):
        op.execute(f"DROP TABLE {table}")
