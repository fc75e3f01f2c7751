"""API keys, and what the scheduler last ran."""

from alembic import op

revision = "0005"
down_revision = "0004"
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

CREATE TABLE scheduler_state (
    job TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    seconds FLOAT DEFAULT '0' NOT NULL,
    error TEXT COLLATE "C" DEFAULT '' NOT NULL,
    leader TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (job)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in (
        "scheduler_state",
        "api_keys",
    ):
        op.execute(f"DROP TABLE {table}")
