"""Baselines: attempts, webhooks and failures by hour, summed from the minutes once the hour is over.

Reads over weeks cost hours times series, not messages.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.slots import OF_WEBHOOKS
from webhook_app.store.counts.webhook_counts import ONLY_REPORTED
from webhook_app.store.counts.window_counts import FailedMessages, Mark, ReportedCounts, WindowCounts
from webhook_app.store.postgres.engine import Connection

HOUR = timedelta(hours=1)

_DELETE = text("""
WITH counts AS (DELETE FROM hourly_counts WHERE hour = :hour),
     reports AS (DELETE FROM hourly_reports WHERE hour = :hour)
DELETE FROM hourly_failures WHERE hour = :hour
""")
_INSERT_COUNTS = text(f"""
INSERT INTO hourly_counts (hour, series_id, attempts, events)
SELECT :hour, series_id, sum(attempts), coalesce(sum(sent + delivered + read + failed) FILTER (WHERE {OF_WEBHOOKS}), 0)
FROM minute_counts
WHERE minute >= :hour AND minute < :end GROUP BY series_id
""")
_INSERT_FAILURES = text("""
INSERT INTO hourly_failures (hour, error_code, series_id, failures)
SELECT :hour, error_code, series_id, sum(failures) FROM (
  SELECT error_code, series_id, failures FROM failure_counts WHERE minute >= :hour AND minute < :end
  UNION ALL
  SELECT coalesce(f.counted_code, f.error_code), f.series_id, count(DISTINCT (f.message_id, f.phone_number_id))
  FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
  WHERE NOT m.alone AND m.last_at >= :hour AND m.first_at < :end AND f.occurred_at >= :hour AND f.occurred_at < :end
  GROUP BY 1, 2) found
GROUP BY error_code, series_id HAVING sum(failures) > 0
""")
# Attempts are under one of the message's codes. A failure that a webhook says too is none of the reports alone.
_INSERT_REPORTS = text(f"""
WITH reported AS MATERIALIZED (
  SELECT DISTINCT message_id, phone_number_id, coalesce(counted_code, error_code) AS code, series_id FROM failures
  WHERE occurred_at >= :start AND occurred_at < :end AND source = 'send'
)
INSERT INTO hourly_reports (hour, error_code, series_id, attempts, failures)
SELECT :start, code, series_id, sum(attempts), sum(failures) FROM (
  SELECT code, series_id, 0 AS attempts, 1 AS failures FROM reported r
  WHERE NOT EXISTS (
    SELECT FROM failures o WHERE o.message_id = r.message_id AND o.phone_number_id = r.phone_number_id
      AND o.occurred_at >= :start AND o.occurred_at < :end AND o.source <> 'send'
      AND coalesce(o.counted_code, o.error_code) = r.code AND o.series_id = r.series_id OFFSET 0)
  UNION ALL
  SELECT r.code, attempt.series_id, 1, 0
  FROM (SELECT message_id, phone_number_id, min(code) AS code FROM reported GROUP BY 1, 2) r CROSS JOIN LATERAL (
    SELECT m.series_id FROM messages m
    WHERE m.message_id = r.message_id AND m.phone_number_id = r.phone_number_id AND {ONLY_REPORTED} OFFSET 0) attempt
) found
GROUP BY code, series_id
""")
_MARK_SUMMED = text("""
INSERT INTO summed_hours (hour, summed_at) VALUES (:hour, :now)
ON CONFLICT (hour) DO UPDATE SET summed_at = excluded.summed_at
""")
_SUMMED_SINCE = text("SELECT hour FROM summed_hours WHERE hour >= :since AND summed_at > to_timestamp(0)")
_SUMMED = text("SELECT hour FROM summed_hours WHERE hour = ANY(:hours)")
_LATEST = text("SELECT max(hour) FROM summed_hours")
_ATTEMPTS = text("""
SELECT series_id, sum(attempts)::bigint AS attempts FROM hourly_counts
WHERE hour >= :start AND hour < :end GROUP BY series_id
""")
_FAILURES = text("""
SELECT error_code, series_id, sum(failures)::bigint AS failures FROM hourly_failures
WHERE hour >= :start AND hour < :end GROUP BY error_code, series_id
""")
_REPORTS = text("""
SELECT error_code, series_id, sum(attempts)::bigint AS attempts, sum(failures)::bigint AS failures FROM hourly_reports
WHERE hour >= :start AND hour < :end GROUP BY error_code, series_id
""")
_OF_TEMPLATES = text("""
SELECT s.waba_id, s.template, h.error_code, sum(h.failures)::bigint AS failures
FROM hourly_failures h JOIN series s ON s.id = h.series_id
WHERE h.hour >= :since AND s.template = ANY(:names) GROUP BY s.waba_id, s.template, h.error_code
ORDER BY failures DESC, h.error_code
""")
_FIRST_HOURS = text("""
SELECT series_id, min(hour) AS first FROM hourly_counts WHERE hour >= :since GROUP BY series_id
""")
_EVENTS = text("SELECT hour, series_id, events FROM hourly_counts WHERE hour = ANY(:hours)")


# A BRIN index over received_at finds the events of one minute; 30 days of partitions are looked at.
_MARK_LATE = text("""
UPDATE summed_hours SET summed_at = to_timestamp(0) WHERE hour IN (
  SELECT DISTINCT date_trunc('hour', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM status_events
  WHERE received_at >= :minute AND received_at < :end AND occurred_at < :before AND occurred_at >= :oldest)
""")


def mark_late_hours(connection: Connection, minute: datetime, before: datetime, oldest: datetime) -> int:
    """Mark hours before `before` to be summed again that have events received in this minute; returns how many.

    Until then their former sums count.
    """
    values = {"minute": minute, "end": minute + timedelta(minutes=1), "before": before, "oldest": oldest}
    return connection.execute(_MARK_LATE, values).rowcount


def first_hour(connection: Connection) -> datetime | None:
    """The hour of the first message; None without one."""
    first: datetime | None = connection.execute(text("SELECT min(minute) FROM minute_counts")).scalar_one()
    return None if first is None else first.replace(minute=0, second=0, microsecond=0)


def sum_hour(connection: Connection, hour: datetime, now: datetime) -> None:
    """Sum this hour from its minutes, replacing an earlier sum."""
    values = {"hour": hour, "start": hour, "end": hour + HOUR, "now": now}
    for statement in (_DELETE, _INSERT_COUNTS, _INSERT_FAILURES, _INSERT_REPORTS, _MARK_SUMMED):
        connection.execute(statement, values)


def hours_summed(connection: Connection, since: datetime) -> set[datetime]:
    """The hours from `since` on that are summed and need not be again."""
    return set(connection.execute(_SUMMED_SINCE, {"since": since}).scalars())


def latest_hour(connection: Connection) -> datetime | None:
    """The last hour that is summed; None before the first."""
    latest: datetime | None = connection.execute(_LATEST).scalar_one()
    return latest


def read(connection: Connection, start: datetime, end: datetime) -> WindowCounts:
    """The counts of the hours from `start` to before `end`, as one window."""
    span = {"start": start, "end": end}
    attempts = connection.execute(_ATTEMPTS, span).all()
    failed = connection.execute(_FAILURES, span).all()
    known = series_keys(connection, {row.series_id for row in attempts} | {row.series_id for row in failed})
    return WindowCounts(
        {known[row.series_id]: row.attempts for row in attempts},
        [FailedMessages((Mark(row.error_code, known[row.series_id]),), row.failures) for row in failed],
    )


def read_reported(connection: Connection, start: datetime, end: datetime) -> ReportedCounts:
    """What reports of senders add to the counts of these hours."""
    rows = connection.execute(_REPORTS, {"start": start, "end": end}).all()
    known = series_keys(connection, {row.series_id for row in rows})
    attempts = Counter[SeriesKey]()
    for row in rows:
        attempts[known[row.series_id]] += row.attempts
    failed = [
        FailedMessages((Mark(row.error_code, known[row.series_id]),), row.failures)
        for row in rows
        if row.failures
    ]
    return ReportedCounts(attempts, failed)


def failures_of_templates(
    connection: Connection, names: Sequence[str], since: datetime
) -> dict[tuple[str, str], dict[int, int]]:
    """The failures of these templates in full hours by account and name, then by code, the most frequent first."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for row in connection.execute(_OF_TEMPLATES, {"names": list(names), "since": since}):
        found.setdefault((row.waba_id, row.template), {})[row.error_code] = row.failures
    return found


def first_hours(connection: Connection, since: datetime) -> dict[SeriesKey, datetime]:
    """The first hour from `since` on in which each series has messages."""
    rows = connection.execute(_FIRST_HOURS, {"since": since}).all()
    known = series_keys(connection, {row.series_id for row in rows})
    return {known[row.series_id]: row.first for row in rows}


def events_in(connection: Connection, hours: Sequence[datetime]) -> dict[datetime, dict[SeriesKey, int]]:
    """Webhooks of each of these hours by series; hours that are not summed are left out."""
    summed = connection.execute(_SUMMED, {"hours": list(hours)}).scalars()
    found: dict[datetime, dict[SeriesKey, int]] = {hour: {} for hour in summed}
    rows = connection.execute(_EVENTS, {"hours": list(found)}).all()
    known = series_keys(connection, {row.series_id for row in rows})
    for row in rows:
        found[row.hour][known[row.series_id]] = row.events
    return found
