"""Handovers of conversations: to whom Meta gave a person's conversation with a business number, and when."""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE handovers (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    is_ours BOOLEAN NOT NULL,
    owner TEXT COLLATE "C" DEFAULT '' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (contact, phone_number_id, occurred_at, is_ours, owner)
)
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE handovers")
