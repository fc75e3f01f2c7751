"""The record of erasures."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE erasures (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    keys TEXT[] DEFAULT '{}'::text[] NOT NULL,
    message_ids TEXT[] DEFAULT '{}'::text[] NOT NULL,
    place TEXT COLLATE "C" DEFAULT '' NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE erasures")
