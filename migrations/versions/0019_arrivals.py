"""When events arrived, by minute of receipt; a small index by which the events of a minute are found.

The index is built partition by partition without holding up writers.
"""

from alembic import op
from sqlalchemy import text

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE IF NOT EXISTS arrivals (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    events BIGINT NOT NULL,
    lags BIGINT[] NOT NULL,
    reached BIGINT,
    unsent BIGINT,
    PRIMARY KEY (minute)
);
"""
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'status_events'::regclass"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(_TABLE)
        op.execute("DROP INDEX IF EXISTS status_events_received")
        op.execute("CREATE INDEX status_events_received ON ONLY status_events USING brin (received_at)")
        for partition in op.get_bind().execute(text(_PARTITIONS)).scalars().all():
            name = f"{partition}_received"
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {partition} USING brin (received_at)")
            op.execute(f"ALTER INDEX status_events_received ATTACH PARTITION {name}")


def downgrade() -> None:
    op.execute("DROP INDEX status_events_received")
    op.execute("DROP TABLE arrivals")
