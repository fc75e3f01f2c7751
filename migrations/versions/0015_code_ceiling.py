"""A ceiling per hour on error codes that the catalogue does not list: a failure may count as another code."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Codes of before keep their own counts.
_UPGRADE = """
ALTER TABLE failures ADD COLUMN counted_code BIGINT;
CREATE TABLE seen_codes (
    code BIGINT PRIMARY KEY,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX seen_codes_first ON seen_codes (first_at);
INSERT INTO seen_codes (code, first_at)
SELECT error_code, min(first_at) - interval '1 hour' FROM failure_errors GROUP BY error_code;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE seen_codes; ALTER TABLE failures DROP COLUMN counted_code")
