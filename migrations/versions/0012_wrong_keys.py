"""Wrong keys by caller, counted by all processes together. Unlogged: a crash may forget a minute's attempts."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE UNLOGGED TABLE wrong_keys (
    caller BYTEA NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (caller)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE wrong_keys")
