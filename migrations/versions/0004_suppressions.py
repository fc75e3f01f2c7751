"""Suppressions, and the audit of every change to them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE suppressions (
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    seen_as TEXT COLLATE "C" DEFAULT '' NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    review BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (contact, phone_number_id, scope, reason)
);

CREATE INDEX suppressions_automatic ON suppressions (since) WHERE review;

CREATE INDEX suppressions_until ON suppressions (until) WHERE until IS NOT NULL;

CREATE TABLE suppression_changes (
    seq BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    action TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    note TEXT COLLATE "C" DEFAULT '' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX suppression_changes_contact ON suppression_changes (contact, seq);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in (
        "suppression_changes",
        "suppressions",
    ):
        op.execute(f"DROP TABLE {table}")
