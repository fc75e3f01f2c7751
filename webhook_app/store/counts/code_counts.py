"""Failed messages by error code in the last hour, day and 30 days. A message counts once per code, however often it
failed with it. A read costs as much as the counts of 30 days hold.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import known_codes
from webhook_app.whatsapp.events import NO_CODE, OTHER_CODE

MAX_UNKNOWN = 1_000
"""Codes outside the catalogue in one answer."""

# Nearly every message failed once and is counted by ingest; the few that failed again are counted from their failures.
_BY_CODE = text("""
WITH counted AS (
  SELECT error_code AS code, sum(failures) FILTER (WHERE minute >= :hour) AS hour,
         sum(failures) FILTER (WHERE minute >= :day) AS day, sum(failures) AS month
  FROM failure_counts WHERE minute >= :month AND minute < :end AND (CAST(:code AS bigint) IS NULL OR error_code = :code)
  GROUP BY error_code
  UNION ALL
  SELECT code, count(*) FILTER (WHERE last >= :hour), count(*) FILTER (WHERE last >= :day), count(*)
  FROM (SELECT coalesce(f.counted_code, f.error_code) AS code, max(f.occurred_at) AS last
        FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
        WHERE NOT m.alone AND m.last_at >= :month AND m.first_at < :end
          AND f.occurred_at >= :month AND f.occurred_at < :end
        GROUP BY 1, f.message_id, f.phone_number_id) one
  WHERE CAST(:code AS bigint) IS NULL OR code = :code
  GROUP BY code
), summed AS (
  SELECT code, coalesce(sum(hour), 0)::bigint AS hour, coalesce(sum(day), 0)::bigint AS day,
         sum(month)::bigint AS month, code = ANY(CAST(:catalogued AS bigint[])) AS is_known
  FROM counted GROUP BY code HAVING sum(month) <> 0
)
SELECT code, hour, day, month
FROM (SELECT *, row_number() OVER (PARTITION BY is_known ORDER BY month DESC, code) AS place FROM summed) ranked
WHERE is_known OR place <= :limit
""")
_WITH_SUBCODE = text("""
SELECT e.error_code AS code, e.error_subcode AS subcode,
       count(DISTINCT f.message_id) FILTER (WHERE f.occurred_at >= :hour) AS hour,
       count(DISTINCT f.message_id) FILTER (WHERE f.occurred_at >= :day) AS day,
       count(DISTINCT f.message_id) AS month
FROM failure_errors e JOIN failures f ON f.error_id = e.id
WHERE e.error_subcode <> :no_code AND f.occurred_at >= :month AND f.occurred_at < :end
GROUP BY e.error_code, e.error_subcode
""")

# Hours that are summed are read from there; the current hour and those not summed yet are counted by the minute.
_PER_DAY = text("""
WITH open_hours AS (
  SELECT hour FROM generate_series(CAST(:start AS timestamptz), CAST(:now AS timestamptz), interval '1 hour') AS hour
  WHERE NOT EXISTS (SELECT FROM summed_hours s WHERE s.hour = hour.hour)
), found AS (
  SELECT h.hour, h.failures FROM hourly_failures h
  WHERE h.hour >= :start AND h.error_code BETWEEN :first AND :last
  UNION ALL
  SELECT o.hour, c.failures FROM open_hours o CROSS JOIN LATERAL (
    SELECT failures FROM failure_counts
    WHERE minute >= o.hour AND minute < o.hour + interval '1 hour' AND error_code BETWEEN :first AND :last) c
  UNION ALL
  SELECT again.hour, count(*) FROM (
    SELECT DISTINCT date_trunc('hour', f.occurred_at, 'UTC') AS hour, f.message_id, f.phone_number_id
    FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
    WHERE NOT m.alone AND m.last_at >= (SELECT min(hour) FROM open_hours) AND m.first_at <= :now
      AND f.occurred_at >= (SELECT min(hour) FROM open_hours)
      AND coalesce(f.counted_code, f.error_code) BETWEEN :first AND :last) again
  JOIN open_hours USING (hour) GROUP BY again.hour
)
SELECT date_trunc('day', hour, 'UTC') AS day, sum(failures)::bigint AS failures FROM found GROUP BY 1
""")


class CodeCounts(Struct, frozen=True):
    """Messages that failed with a code in each span, up to and including the current minute."""

    last_hour: int = 0
    last_day: int = 0
    last_30_days: int = 0

    def __add__(self, other: "CodeCounts") -> "CodeCounts":
        return CodeCounts(
            self.last_hour + other.last_hour,
            self.last_day + other.last_day,
            self.last_30_days + other.last_30_days,
        )


def failures_by_code(
    connection: Connection, now: datetime, code: int | None = None, limit: int = MAX_UNKNOWN
) -> dict[int, CodeCounts]:
    """Counts of the codes that a message failed with in the last 30 days, or of one of them.

    Of the codes that the catalogue does not list, the `limit` most frequent are counted.
    """
    values = _spans(now) | {
        "code": code,
        "limit": limit,
        "catalogued": sorted({NO_CODE, OTHER_CODE, *known_codes()}),
    }
    rows = connection.execute(_BY_CODE, values)
    return {row.code: CodeCounts(row.hour, row.day, row.month) for row in rows}


def failures_by_subcode(connection: Connection, now: datetime) -> dict[tuple[int, int], CodeCounts]:
    """Counts by code and subcode of the failures that have a subcode, which only send calls report."""
    rows = connection.execute(_WITH_SUBCODE, _spans(now) | {"no_code": NO_CODE})
    return {(row.code, row.subcode): CodeCounts(row.hour, row.day, row.month) for row in rows}


def per_day(connection: Connection, code: int, code_to: int, days: int, now: datetime) -> dict[datetime, int]:
    """Messages that failed with the code on each of the last days (UTC), oldest first and including today.

    A message that failed in several hours counts once in each hour.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=days - 1)
    values = {"start": start, "now": now, "first": code, "last": code_to}
    found = {row.day: row.failures for row in connection.execute(_PER_DAY, values)}
    return {day: found.get(day, 0) for day in (start + timedelta(days=past) for past in range(days))}


def _spans(now: datetime) -> dict[str, object]:
    floor = now.replace(second=0, microsecond=0)
    return {
        "hour": floor - timedelta(hours=1),
        "day": floor - timedelta(days=1),
        "month": floor - timedelta(days=30),
        "end": floor + timedelta(minutes=1),
    }
