"""Settled messages: one row instead of the events and the attempt of a message that has been finished for days."""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE settled_messages (
    sent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    read_at TIMESTAMP WITH TIME ZONE,
    sent_received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    delivered_received_at TIMESTAMP WITH TIME ZONE,
    read_received_at TIMESTAMP WITH TIME ZONE,
    series_id INTEGER NOT NULL,
    pricing SMALLINT DEFAULT '0' NOT NULL,
    lacks SMALLINT DEFAULT '0' NOT NULL,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    callback_data TEXT COLLATE "C" DEFAULT '' NOT NULL
) PARTITION BY RANGE (sent_at);
CREATE INDEX settled_messages_id ON settled_messages (keyed_hash(message_id));
CREATE INDEX settled_messages_contact ON settled_messages (contact);

CREATE TABLE settled_messages_default PARTITION OF settled_messages DEFAULT;

CREATE TABLE settled_days (
    day DATE NOT NULL,
    passes SMALLINT DEFAULT '0' NOT NULL,
    page INTEGER,
    bloated BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (day)
);

-- The events of settled messages, with the columns of status_events.
CREATE VIEW settled_events AS
SELECT m.message_id, m.phone_number_id, e.status, e.occurred_at, '' COLLATE "C" AS participant,
       '-1'::bigint AS error_code, m.contact, m.series_id,
       CASE WHEN m.lacks & e.bit = 0 THEN m.category ELSE '' END AS category,
       CASE WHEN m.lacks & (e.bit << 2) = 0 THEN m.callback_data ELSE '' END AS callback_data,
       false AS clock_replaced, e.received_at,
       CASE WHEN m.lacks & (e.bit << 1) = 0 THEN m.pricing ELSE 0::smallint END AS pricing
FROM settled_messages m
CROSS JOIN LATERAL (VALUES ('sent' COLLATE "C", m.sent_at, m.sent_received_at, 1),
                           ('delivered', m.delivered_at, m.delivered_received_at, 8),
                           ('read', m.read_at, m.read_received_at, 64)) AS e(status, occurred_at, received_at, bit)
WHERE e.occurred_at IS NOT NULL;
"""
_DOWNGRADE = """
INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
                           series_id, category, callback_data, clock_replaced, received_at, pricing)
SELECT message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
       series_id, category, callback_data, clock_replaced, received_at, pricing FROM settled_events
ON CONFLICT DO NOTHING;
INSERT INTO messages (message_id, phone_number_id, contact, series_id, sent_at)
SELECT message_id, phone_number_id, contact, series_id, sent_at FROM settled_messages ON CONFLICT DO NOTHING;
DROP VIEW settled_events;
DROP TABLE settled_messages;
DROP TABLE settled_days;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
