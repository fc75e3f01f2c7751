"""Findings: states that last, one open row for each kind and key, and the incidents that belong to one."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE findings (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    key TEXT COLLATE "C" DEFAULT '' NOT NULL,
    state TEXT COLLATE "C" DEFAULT '' NOT NULL,
    title TEXT COLLATE "C" DEFAULT '' NOT NULL,
    severity TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    codes BIGINT[] NOT NULL,
    slice JSONB,
    impact JSONB NOT NULL,
    evidence JSONB NOT NULL,
    advice TEXT COLLATE "C" DEFAULT '' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    notified_at TIMESTAMP WITH TIME ZONE,
    fixed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX findings_open ON findings (kind, key) WHERE state = 'open';
CREATE INDEX findings_fixed ON findings (fixed_at) WHERE fixed_at IS NOT NULL;
ALTER TABLE incidents ADD COLUMN finding_id BIGINT;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("ALTER TABLE incidents DROP COLUMN finding_id; DROP TABLE findings")
