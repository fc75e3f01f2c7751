"""Suppressions, and the audit of every change to them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE suppressions (
    contact TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    scope TEXT DEFAULT '' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    seen_as TEXT DEFAULT '' NOT NULL,
    actor TEXT DEFAULT '' NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    review BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (contact, phone_number_id, scope, reason)
);

CREATE INDEX suppressions_automatic ON suppressions (since) WHERE review;

CREATE TABLE suppression_changes (
    seq BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    action TEXT DEFAULT '' NOT NULL,
    contact TEXT DEFAULT '' NOT NULL,
    phone_number_id TEXT DEFAULT '' NOT NULL,
    scope TEXT DEFAULT '' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    code BIGINT DEFAULT '-1' NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    times INTEGER DEFAULT '1' NOT NULL,
    actor TEXT DEFAULT '' NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    evidence JSONB DEFAULT '[]'::jsonb NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX suppression_changes_contact ON suppression_changes (contact, seq);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in ("suppression_changes", "suppressions",):
        op.execute(f"DROP TABLE {table}")
