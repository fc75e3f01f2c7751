"""People who go on under another phone number or user id, as WhatsApp's system messages tell."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE number_changes (
    old_contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    new_contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (old_contact, new_contact, phone_number_id, message_id)
);

CREATE INDEX number_changes_new ON number_changes (new_contact);

CREATE INDEX number_changes_unconsidered ON number_changes (received_at) WHERE considered_at IS NULL;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE number_changes")
