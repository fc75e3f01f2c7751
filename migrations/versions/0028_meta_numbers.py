"""Business numbers as Meta's Graph API described them at the latest reading."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE meta_numbers (
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    account_name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    display_phone_number TEXT COLLATE "C" DEFAULT '' NOT NULL,
    verified_name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT COLLATE "C" DEFAULT '' NOT NULL,
    quality TEXT COLLATE "C" DEFAULT '' NOT NULL,
    messaging_limit TEXT COLLATE "C" DEFAULT '' NOT NULL,
    throughput TEXT COLLATE "C" DEFAULT '' NOT NULL,
    mode TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (phone_number_id)
)
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE meta_numbers")
