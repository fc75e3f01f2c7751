"""Tables of what Meta reports of accounts, business numbers and templates."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE health_signals (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    identity BYTEA NOT NULL,
    field TEXT COLLATE "C" DEFAULT '' NOT NULL,
    event TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    display_phone_number TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_language TEXT COLLATE "C" DEFAULT '' NOT NULL,
    error_code BIGINT DEFAULT '-1' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    payload JSONB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (identity)
);
CREATE INDEX health_signals_errors ON health_signals (phone_number_id, error_code, occurred_at) WHERE field = 'errors';
CREATE INDEX health_signals_time ON health_signals (occurred_at);

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
"""

_DOWNGRADE = """
DROP TABLE business_numbers;
DROP TABLE health_changes;
DROP TABLE health_signals;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
