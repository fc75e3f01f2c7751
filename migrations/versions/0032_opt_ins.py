"""Opt-ins of contacts: when and through which channel a person agreed to messages."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE opt_ins (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    opted_in_at TIMESTAMP WITH TIME ZONE NOT NULL,
    channel TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (contact, opted_in_at, channel)
)
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE opt_ins")
