"""Minutes of the past that are judged afterwards: late failures arrived for them, or no scheduler ran."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE unjudged_minutes (
    minute TIMESTAMP WITH TIME ZONE PRIMARY KEY,
    added_at TIMESTAMP WITH TIME ZONE NOT NULL
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE unjudged_minutes")
