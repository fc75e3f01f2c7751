"""What reports of senders add to the counts of a window, and what webhooks alone show. Counts each message itself.

The counts by minute do not say it exactly: of a message that fails twice they lose who said so first.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.window_counts import FailedMessages, Mark, ReportedCounts
from webhook_app.store.postgres.engine import Connection

FROM_WEBHOOK = """
(e.status <> 'failed' OR NOT EXISTS (
    SELECT FROM failures f
    WHERE f.message_id = e.message_id AND f.phone_number_id = e.phone_number_id AND f.occurred_at = e.occurred_at
      AND f.participant = e.participant AND f.error_code = e.error_code AND f.source = 'send'))
"""
"""SQL: whether Meta sent the event e of status_events. A failed event can be that of a report."""

_MARK = "ARRAY[coalesce(f.counted_code, f.error_code), f.series_id::bigint]"
# By index lookups, however many rows are expected: OFFSET keeps the planner from joining whole tables.
ONLY_REPORTED = """
m.sent_at IS NULL AND m.failed_at >= :start AND m.failed_at < :end AND NOT EXISTS (
  SELECT FROM failures o WHERE o.message_id = m.message_id AND o.phone_number_id = m.phone_number_id
    AND o.source <> 'send' OFFSET 0)
"""
"""SQL: whether the attempt of the message `m` in the window is known from reports alone."""

_REPORTED = text(f"""
WITH reported AS MATERIALIZED (
  SELECT DISTINCT message_id, phone_number_id FROM failures
  WHERE occurred_at >= :start AND occurred_at < :end AND source = 'send'
)
SELECT marks, of_webhooks, attempted, count(*) AS messages
FROM reported r CROSS JOIN LATERAL (
  SELECT array_agg(DISTINCT {_MARK}) AS marks,
         array_agg(DISTINCT {_MARK}) FILTER (WHERE f.source <> 'send') AS of_webhooks
  FROM failures f WHERE f.message_id = r.message_id AND f.phone_number_id = r.phone_number_id
    AND f.occurred_at >= :start AND f.occurred_at < :end OFFSET 0
) failed LEFT JOIN LATERAL (
  SELECT m.series_id AS attempted FROM messages m
  WHERE m.message_id = r.message_id AND m.phone_number_id = r.phone_number_id AND {ONLY_REPORTED} OFFSET 0
) attempt ON true
GROUP BY marks, of_webhooks, attempted
""")
_FAILED = text(f"""
SELECT marks, count(*) AS messages
FROM (SELECT array_agg(DISTINCT {_MARK}) AS marks
      FROM failures f WHERE occurred_at >= :start AND occurred_at < :end AND source <> 'send'
      GROUP BY message_id, phone_number_id) one
GROUP BY marks
""")
_EXISTS = text("SELECT EXISTS (SELECT FROM failures WHERE occurred_at >= :since AND source = 'send')")


def has_reports(connection: Connection, since: datetime) -> bool:
    """Whether senders reported any failure since then."""
    return bool(connection.execute(_EXISTS, {"since": since}).scalar_one())


def read_reported(connection: Connection, start: datetime, end: datetime) -> ReportedCounts:
    """What reports add to the counts of the full minutes from `start` to before `end`."""
    rows = connection.execute(_REPORTED, {"start": start, "end": end}).all()
    ids = {series_id for row in rows for _, series_id in row.marks}
    known = series_keys(connection, ids | {row.attempted for row in rows if row.attempted is not None})
    attempts: dict[SeriesKey, int] = {}
    found = ReportedCounts(attempts, [], [])
    for row in rows:
        found.failed.append(_failed(row.marks, row.messages, known))
        if row.of_webhooks:
            found.of_webhooks.append(_failed(row.of_webhooks, row.messages, known))
        if row.attempted is not None:
            series = known[row.attempted]
            attempts[series] = attempts.get(series, 0) + row.messages
    return found


def failures(connection: Connection, start: datetime, end: datetime) -> list[FailedMessages]:
    """Distinct failed messages of webhooks, counted by the codes and series they failed under."""
    rows = connection.execute(_FAILED, {"start": start, "end": end}).all()
    known = series_keys(connection, {series_id for marks, _ in rows for _, series_id in marks})
    return [_failed(marks, messages, known) for marks, messages in rows]


def _failed(marks: list[list[int]], messages: int, known: Mapping[int, SeriesKey]) -> FailedMessages:
    return FailedMessages(tuple([Mark(code, known[series_id]) for code, series_id in marks]), messages)
