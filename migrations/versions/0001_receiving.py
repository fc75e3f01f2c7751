"""Deliveries, the events and messages in them, quarantine, and the books of items."""

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
    received_at TIMESTAMP WITH TIME ZONE NOT NULL
) PARTITION BY RANGE (occurred_at);
CREATE INDEX status_events_contact ON status_events (contact);
CREATE UNIQUE INDEX status_events_identity ON status_events (
    hashtextextended(message_id, 0), occurred_at, status, participant, error_code, hashtext(phone_number_id)
);
CREATE INDEX status_events_received ON status_events USING brin (received_at);

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
    source TEXT COLLATE "C" DEFAULT 'webhook' NOT NULL,
    error_subcode BIGINT DEFAULT '-1' NOT NULL,
    fbtrace_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error_id BIGINT DEFAULT '0' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    explained_by BIGINT,
    PRIMARY KEY (message_id, phone_number_id, occurred_at, participant, error_code)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX failures_contact ON failures (contact, occurred_at);
CREATE INDEX failures_kind ON failures (error_id, series_id, occurred_at) INCLUDE (contact, error_code);
CREATE INDEX failures_recent ON failures (occurred_at, error_code, series_id);
CREATE INDEX failures_unconsidered ON failures (explained_by, received_at) WHERE considered_at IS NULL;

CREATE TABLE failures_default PARTITION OF failures DEFAULT;

CREATE TABLE failure_errors (
    id BIGINT NOT NULL,
    error_code BIGINT NOT NULL,
    error_subcode BIGINT NOT NULL,
    source TEXT COLLATE "C" DEFAULT '' NOT NULL,
    title TEXT COLLATE "C" DEFAULT '' NOT NULL,
    details TEXT COLLATE "C" DEFAULT '' NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

-- A trigger labels failures, because more than one statement stores and changes them.
CREATE FUNCTION failures_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.error_id := hashtextextended(
        NEW.error_code || E'\\x1f' || NEW.error_subcode || E'\\x1f' || NEW.source || E'\\x1f' || NEW.title
        || E'\\x1f' || NEW.details, 0);
    IF NOT EXISTS (SELECT FROM failure_errors WHERE id = NEW.error_id) THEN
        INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at)
        VALUES (NEW.error_id, NEW.error_code, NEW.error_subcode, NEW.source, NEW.title, NEW.details, NEW.received_at)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER failures_label
    BEFORE INSERT OR UPDATE OF error_code, error_subcode, source, title, details ON failures
    FOR EACH ROW EXECUTE FUNCTION failures_label();

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

CREATE TABLE deliveries (
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body BYTEA NOT NULL,
    packed BOOLEAN DEFAULT false NOT NULL
) PARTITION BY RANGE (received_at);

-- Bodies are compressed before they are stored.
ALTER TABLE deliveries ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX deliveries_time ON deliveries USING brin (received_at);

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
    document TEXT COLLATE "C" DEFAULT '' NOT NULL,
    replayed_at TIMESTAMP WITH TIME ZONE,
    became TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (identity)
);
CREATE INDEX quarantine_open ON quarantine (id) WHERE replayed_at IS NULL;
CREATE INDEX quarantine_time ON quarantine (received_at);

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

CREATE TABLE books (
    day DATE NOT NULL,
    slot INTEGER NOT NULL,
    received BIGINT DEFAULT '0' NOT NULL,
    applied BIGINT DEFAULT '0' NOT NULL,
    duplicate BIGINT DEFAULT '0' NOT NULL,
    ignored BIGINT DEFAULT '0' NOT NULL,
    quarantined BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (day, slot)
);

CREATE TABLE rejections (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (minute, kind)
);
"""

_DOWNGRADE = """
DROP TABLE rejections;
DROP TABLE books;
DROP TABLE clock_repairs;
DROP TABLE quarantine;
DROP TABLE deliveries;
DROP TABLE inbound_messages;
DROP TABLE failure_errors;
DROP TABLE failures;
DROP FUNCTION failures_label;
DROP TABLE status_events;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
