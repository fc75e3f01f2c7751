"""API keys, the audit, the state of jobs, backtests."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE api_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    role TEXT COLLATE "C" DEFAULT '' NOT NULL,
    key_hash BYTEA NOT NULL,
    prefix TEXT COLLATE "C" DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    UNIQUE (key_hash)
);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    role TEXT COLLATE "C" DEFAULT '' NOT NULL,
    via TEXT COLLATE "C" DEFAULT '' NOT NULL,
    action TEXT COLLATE "C" DEFAULT '' NOT NULL,
    object TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    outcome TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX audit_contact ON audit (contact) WHERE contact <> '';
CREATE INDEX audit_time ON audit (at);

CREATE TABLE scheduler_state (
    job TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    seconds FLOAT DEFAULT '0' NOT NULL,
    error TEXT COLLATE "C" DEFAULT '' NOT NULL,
    leader TEXT COLLATE "C" DEFAULT '' NOT NULL,
    interval_seconds FLOAT DEFAULT '0' NOT NULL,
    runs BIGINT DEFAULT '0' NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    total_seconds FLOAT DEFAULT '0' NOT NULL,
    PRIMARY KEY (job)
);

CREATE TABLE backtests (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    requested_by TEXT COLLATE "C" DEFAULT '' NOT NULL,
    rules TEXT COLLATE "C" DEFAULT '' NOT NULL,
    chosen TEXT[] NOT NULL,
    start_at TIMESTAMP WITH TIME ZONE NOT NULL,
    end_at TIMESTAMP WITH TIME ZONE NOT NULL,
    step_seconds INTEGER NOT NULL,
    state TEXT COLLATE "C" DEFAULT '' NOT NULL,
    progress FLOAT DEFAULT '0' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    seen_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    tries INTEGER DEFAULT '0' NOT NULL,
    fault TEXT COLLATE "C" DEFAULT '' NOT NULL,
    result JSONB,
    PRIMARY KEY (id)
);
CREATE INDEX backtests_unfinished ON backtests (id) WHERE state IN ('waiting', 'running');

CREATE TABLE backtest_people (
    backtest_id BIGINT NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    code BIGINT NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    failures BIGINT NOT NULL,
    PRIMARY KEY (backtest_id, contact, phone_number_id, reason, scope)
);
CREATE INDEX backtest_people_contact ON backtest_people (contact);
"""

_DOWNGRADE = """
DROP TABLE backtest_people;
DROP TABLE backtests;
DROP TABLE scheduler_state;
DROP TABLE audit;
DROP TABLE api_keys;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
