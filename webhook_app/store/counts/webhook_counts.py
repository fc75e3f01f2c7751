"""The failures of a window that webhooks show, without those that only senders report. Counts each message itself.

The counts by minute do not say it exactly: of a message that fails twice they lose who said so first.
"""

from datetime import datetime

from sqlalchemy import text

from webhook_app.store.counts import rates
from webhook_app.store.counts.rates import Filters
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.slots import OF_REPORTS
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts
from webhook_app.store.postgres.engine import Connection

_FAILED = text("""
SELECT marks, count(*) AS messages
FROM (SELECT array_agg(DISTINCT ARRAY[coalesce(counted_code, error_code), series_id::bigint]) AS marks
      FROM failures WHERE occurred_at >= :start AND occurred_at < :end AND source <> 'send'
      GROUP BY message_id, phone_number_id) one
GROUP BY marks
""")
# A row whose failures are 0 counts too: a report has moved one.
_REPORTED = text(f"""
SELECT DISTINCT error_code, series_id FROM failure_counts
WHERE minute >= :start AND minute < :end AND {OF_REPORTS}
""")


def read_window(connection: Connection, start: datetime, end: datetime) -> WindowCounts:
    """The messages from `start` to before `end` that webhooks show, and those of them that failed."""
    attempts = rates.attempts_by_series(connection, start, end, Filters(with_reports=False))
    return WindowCounts(attempts, failures(connection, start, end))


def failures(connection: Connection, start: datetime, end: datetime) -> list[FailedMessages]:
    """Distinct failed messages of webhooks, counted by the codes and series they failed under."""
    rows = connection.execute(_FAILED, {"start": start, "end": end}).all()
    known = series_keys(connection, {series_id for marks, _ in rows for _, series_id in marks})
    return [
        FailedMessages(tuple([Mark(code, known[series_id]) for code, series_id in marks]), messages)
        for marks, messages in rows
    ]


def reported(connection: Connection, start: datetime, end: datetime) -> WindowCounts:
    """The codes and series of reported failures, each as one failed message."""
    rows = connection.execute(_REPORTED, {"start": start, "end": end}).all()
    known = series_keys(connection, {series_id for _, series_id in rows})
    return WindowCounts({}, [FailedMessages((Mark(code, known[series_id]),), 1) for code, series_id in rows])
