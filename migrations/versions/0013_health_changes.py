"""What signals say of accounts, numbers and templates, in our words; which number each of Meta's ids stands for."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE health_changes (
    subject TEXT COLLATE "C" DEFAULT '' NOT NULL,
    subject_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    aspect TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    value TEXT COLLATE "C" DEFAULT '' NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    language TEXT COLLATE "C" DEFAULT '' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (subject, subject_id, aspect, occurred_at, value)
);

CREATE INDEX health_changes_time ON health_changes (occurred_at);

CREATE TABLE business_numbers (
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    display_phone_number TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (phone_number_id, display_phone_number, waba_id)
);

CREATE INDEX health_signals_errors ON health_signals (phone_number_id, error_code, occurred_at)
    WHERE field = 'errors';
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX health_signals_errors")
    op.execute("DROP TABLE business_numbers")
    op.execute("DROP TABLE health_changes")
