"""Marks of people who were erased and had asked not to be written to."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE erased_wishes (
    mark BYTEA NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (mark, phone_number_id, scope)
);
CREATE TABLE erased_wishes_secret (
    one BOOLEAN DEFAULT true NOT NULL CHECK (one),
    secret BYTEA NOT NULL,
    PRIMARY KEY (one)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE erased_wishes, erased_wishes_secret")
