"""Who changed what, by page or by API."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    role TEXT COLLATE "C" DEFAULT '' NOT NULL,
    via TEXT COLLATE "C" DEFAULT '' NOT NULL,
    action TEXT COLLATE "C" DEFAULT '' NOT NULL,
    object TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    outcome TEXT COLLATE "C" DEFAULT '' NOT NULL
);
CREATE INDEX audit_time ON audit (at);
CREATE INDEX audit_contact ON audit (contact) WHERE contact <> '';
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE audit")
