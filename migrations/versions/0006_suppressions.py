"""Tables of suppressions, of their changes, and of the events that decide them."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE suppressions (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    seen_as TEXT COLLATE "C" DEFAULT '' NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    review BOOLEAN DEFAULT false NOT NULL,
    half_open_at TIMESTAMP WITH TIME ZONE,
    probe_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (contact, phone_number_id, scope, reason)
);
CREATE INDEX suppressions_automatic ON suppressions (since) WHERE review;
CREATE INDEX suppressions_review ON suppressions (contact, phone_number_id, scope, reason) WHERE review;
CREATE INDEX suppressions_until ON suppressions (until) WHERE until IS NOT NULL;

CREATE TABLE suppression_changes (
    seq BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    action TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    since TIMESTAMP WITH TIME ZONE,
    half_open_at TIMESTAMP WITH TIME ZONE,
    seen_as TEXT COLLATE "C" DEFAULT '' NOT NULL,
    review BOOLEAN DEFAULT false NOT NULL,
    batch TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX suppression_changes_batch ON suppression_changes (batch, seq) WHERE batch <> '';
CREATE INDEX suppression_changes_contact ON suppression_changes (contact, seq);

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

CREATE TABLE service_windows (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (contact, phone_number_id)
);

CREATE TABLE successes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    what TEXT COLLATE "C" DEFAULT '' NOT NULL,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
"""

_DOWNGRADE = """
DROP TABLE successes;
DROP TABLE service_windows;
DROP TABLE preferences;
DROP TABLE suppression_changes;
DROP TABLE suppressions;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
