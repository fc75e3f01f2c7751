"""The checks of doctor: what Meta's Graph API said at the latest reading."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE doctor_checks (
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    subject TEXT COLLATE "C" DEFAULT '' NOT NULL,
    subject_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT COLLATE "C" DEFAULT '' NOT NULL,
    message TEXT COLLATE "C" DEFAULT '' NOT NULL,
    fix TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (kind, subject, subject_id)
)
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE doctor_checks")
