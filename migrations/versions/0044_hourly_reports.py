"""What only reports of senders show, by hour, so that the sums of hours can be read without it."""

from alembic import op
from sqlalchemy import text

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

# The last 30 days, which rules and findings compare with; see store/counts/baselines.py for the sums of later hours.
_SUMMED = """
INSERT INTO hourly_reports (hour, error_code, series_id, attempts, failures)
WITH reported AS MATERIALIZED (
  SELECT DISTINCT message_id, phone_number_id, coalesce(counted_code, error_code) AS code, series_id,
         date_trunc('hour', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour
  FROM failures WHERE source = 'send' AND occurred_at >= now() - interval '30 days'
)
SELECT hour, code, series_id, sum(attempts), sum(failures) FROM (
  SELECT hour, code, series_id, 0 AS attempts, 1 AS failures FROM reported r
  WHERE NOT EXISTS (
    SELECT FROM failures o WHERE o.message_id = r.message_id AND o.phone_number_id = r.phone_number_id
      AND o.occurred_at >= r.hour AND o.occurred_at < r.hour + interval '1 hour' AND o.source <> 'send'
      AND coalesce(o.counted_code, o.error_code) = r.code AND o.series_id = r.series_id OFFSET 0)
  UNION ALL
  SELECT r.hour, r.code, attempt.series_id, 1, 0
  FROM (SELECT message_id, phone_number_id, hour, min(code) AS code FROM reported GROUP BY 1, 2, 3) r
  CROSS JOIN LATERAL (
    SELECT m.series_id FROM messages m
    WHERE m.message_id = r.message_id AND m.phone_number_id = r.phone_number_id AND m.sent_at IS NULL
      AND m.failed_at >= r.hour AND m.failed_at < r.hour + interval '1 hour'
      AND NOT EXISTS (SELECT FROM failures o WHERE o.message_id = m.message_id
        AND o.phone_number_id = m.phone_number_id AND o.source <> 'send' OFFSET 0) OFFSET 0) attempt
) found
WHERE hour IN (SELECT hour FROM summed_hours)
GROUP BY hour, code, series_id
"""


_INDEX = "ON {table} (occurred_at) WHERE source = 'send'"
# Those that an interrupted run has left to do.
_PARTITIONS = text("""
SELECT i.inhrelid::regclass::text FROM pg_inherits i
WHERE i.inhparent = 'failures'::regclass AND NOT EXISTS (
  SELECT FROM pg_inherits a JOIN pg_index x ON x.indexrelid = a.inhrelid
  WHERE a.inhparent = 'failures_reported'::regclass AND x.indrelid = i.inhrelid)
""")


def upgrade() -> None:
    _index_failures()
    op.execute("""
        CREATE TABLE hourly_reports (
            hour TIMESTAMP WITH TIME ZONE NOT NULL,
            error_code BIGINT NOT NULL,
            series_id INTEGER NOT NULL,
            attempts BIGINT NOT NULL,
            failures BIGINT NOT NULL,
            PRIMARY KEY (hour, error_code, series_id)
        )
    """)
    op.execute(_SUMMED)


def _index_failures() -> None:
    """Index each partition while failures are stored."""
    with op.get_context().autocommit_block():
        op.execute(f"CREATE INDEX IF NOT EXISTS failures_reported {_INDEX.format(table='ONLY failures')}")
        for name in op.get_bind().execute(_PARTITIONS).scalars().all():
            op.execute(f'DROP INDEX IF EXISTS "{name}_reported"')
            op.execute(f'CREATE INDEX CONCURRENTLY "{name}_reported" {_INDEX.format(table=name)}')
            op.execute(f'ALTER INDEX failures_reported ATTACH PARTITION "{name}_reported"')


def downgrade() -> None:
    op.execute("DROP TABLE hourly_reports")
    op.execute("DROP INDEX failures_reported")
