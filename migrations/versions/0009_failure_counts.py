"""Failed messages counted by minute, series and code, so that a window's failures cost what its minutes do.

What is stored is counted here once. Failures that workers of the version before store after this are in no count:
rates of those minutes are low by as much, and right again with the first window after the deploy.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE failed_messages (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    error_code BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    alone BOOLEAN NOT NULL,
    was_alone BOOLEAN,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (message_id, phone_number_id)
);

CREATE TABLE failure_counts (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    error_code BIGINT NOT NULL,
    slot INTEGER NOT NULL,
    failures BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (minute, series_id, error_code, slot)
);

INSERT INTO failed_messages
SELECT message_id, phone_number_id, date_trunc('minute', min(occurred_at)), min(error_code), min(series_id),
       count(*) = 1, NULL, min(occurred_at), max(occurred_at)
FROM failures GROUP BY message_id, phone_number_id;

INSERT INTO failure_counts
SELECT minute, series_id, error_code, 0, count(*) FROM failed_messages WHERE alone GROUP BY 1, 2, 3;

CREATE INDEX failed_messages_again ON failed_messages (last_at) WHERE NOT alone;

CREATE INDEX failed_messages_time ON failed_messages USING brin (last_at);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE failure_counts")
    op.execute("DROP TABLE failed_messages")
