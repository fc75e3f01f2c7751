"""Tables of what senders report of their calls."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UPGRADE = """
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
    check_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (message_id, phone_number_id, failed, error_code)
);
CREATE INDEX sends_check_at ON sends (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX sends_contact ON sends (contact, sent_at);
CREATE INDEX sends_time ON sends (sent_at);
"""

_DOWNGRADE = """
DROP TABLE sends;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
