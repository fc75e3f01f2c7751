"""What senders report: accepted sends and failed send calls; failures say where they were heard of."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UPGRADE = """
ALTER TABLE failures
    ADD COLUMN source TEXT COLLATE "C" DEFAULT 'webhook' NOT NULL,
    ADD COLUMN error_subcode BIGINT DEFAULT '-1' NOT NULL,
    ADD COLUMN fbtrace_id TEXT COLLATE "C" DEFAULT '' NOT NULL;

CREATE TABLE sends (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    failed BOOLEAN NOT NULL,
    error_code BIGINT DEFAULT '-1' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template TEXT COLLATE "C" DEFAULT '' NOT NULL,
    campaign TEXT COLLATE "C" DEFAULT '' NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    error_subcode BIGINT DEFAULT '-1' NOT NULL,
    fbtrace_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error JSONB,
    endpoint TEXT COLLATE "C" DEFAULT '' NOT NULL,
    request JSONB,
    look_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (message_id, phone_number_id, failed, error_code)
);

CREATE INDEX sends_contact ON sends (contact, sent_at);

CREATE INDEX sends_time ON sends (sent_at);

CREATE INDEX sends_look_at ON sends (look_at) WHERE look_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE sends")
    for column in ("fbtrace_id", "error_subcode", "source"):
        op.execute(f"ALTER TABLE failures DROP COLUMN {column}")
