"""When each contact last wrote is kept beside the messages: a check need not look into ninety days of them."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
CREATE TABLE service_windows (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (contact, phone_number_id)
)""")
    op.execute("""
INSERT INTO service_windows (contact, phone_number_id, opened_at)
SELECT contact, phone_number_id, max(occurred_at) FROM inbound_messages
WHERE opens_window AND contact <> '' AND occurred_at > now() - interval '24 hours'
GROUP BY contact, phone_number_id
""")


def downgrade() -> None:
    op.execute("DROP TABLE service_windows")
