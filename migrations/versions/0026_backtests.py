"""Backtests asked for by page: the wish, how far it is, what came of it, and whom it would have suppressed."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
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
    progress DOUBLE PRECISION DEFAULT 0 NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    seen_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    tries INTEGER DEFAULT 0 NOT NULL,
    fault TEXT COLLATE "C" DEFAULT '' NOT NULL,
    result JSONB,
    PRIMARY KEY (id)
)""")
    op.execute("CREATE INDEX backtests_unfinished ON backtests (id) WHERE state IN ('waiting', 'running')")
    op.execute("""
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
)""")
    op.execute("CREATE INDEX backtest_people_contact ON backtest_people (contact)")


def downgrade() -> None:
    op.execute("DROP TABLE backtest_people")
    op.execute("DROP TABLE backtests")
