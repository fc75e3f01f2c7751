"""Retries: failed messages that are due to be sent again, leased to one sender at a time."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE retries (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    error_code BIGINT NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    first_message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    first_failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    why TEXT COLLATE "C" DEFAULT '' NOT NULL,
    attempts INTEGER NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_code BIGINT NOT NULL,
    last_subcode BIGINT DEFAULT '-1' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease TEXT COLLATE "C" DEFAULT '' NOT NULL,
    leased_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    leased_at TIMESTAMP WITH TIME ZONE,
    leased_until TIMESTAMP WITH TIME ZONE,
    claim TEXT COLLATE "C" DEFAULT '' NOT NULL,
    outcome TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sent_message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (message_id, phone_number_id)
);
CREATE UNIQUE INDEX retries_id ON retries (id);
CREATE INDEX retries_contact ON retries (contact);
CREATE INDEX retries_time ON retries (first_failed_at);
CREATE INDEX retries_due ON retries (due_at, id) WHERE state IN ('waiting', 'leased');
CREATE INDEX retries_dead ON retries (occurred_at) WHERE state = 'dead';
CREATE INDEX retries_claim ON retries (claim) WHERE state = 'leased' AND claim <> '';
CREATE INDEX retries_sent ON retries (sent_message_id) WHERE sent_message_id <> '';
CREATE TABLE retry_progress (
    one BOOLEAN DEFAULT true NOT NULL,
    searched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (one),
    CHECK (one)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE retry_progress; DROP TABLE retries")
