"""Minutes of the past that no evaluation judged in time: late failures arrived for them, or no scheduler ran."""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

LATE_AFTER = timedelta(minutes=15)
"""A failure that arrives later than this is not in the shortest window any more."""

GAP_AFTER = timedelta(minutes=5)
"""A longer time without an evaluation leaves minutes unjudged."""

JUDGED_FOR = timedelta(hours=24)
"""Older minutes are not judged afterwards."""

_MINUTE = timedelta(minutes=1)

_ADD_LATE = text("""
INSERT INTO unjudged_minutes (minute, added_at)
SELECT DISTINCT date_trunc('minute', occurred_at), CAST(:now AS timestamptz) FROM status_events
WHERE received_at >= :minute AND received_at < :end AND occurred_at < :before AND occurred_at >= :oldest
  AND status = 'failed' AND NOT clock_replaced
ON CONFLICT (minute) DO UPDATE SET added_at = excluded.added_at
""")
_LAST_EVALUATION = text("SELECT max(evaluated_at) FROM rule_evaluations")
_ADD_GAP = text("""
INSERT INTO unjudged_minutes (minute, added_at)
SELECT generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 minute'), :now
ON CONFLICT (minute) DO UPDATE SET added_at = excluded.added_at
""")
_SPAN = text("""
SELECT min(minute) AS first, max(minute) AS last, min(added_at) AS first_added, max(added_at) AS last_added
FROM unjudged_minutes WHERE minute >= :oldest
""")
_HAS_ANY = text("""
SELECT EXISTS (SELECT FROM unjudged_minutes WHERE minute BETWEEN :first AND :last AND added_at <= :added_until)
""")
_REMOVE = text("DELETE FROM unjudged_minutes WHERE minute <= :last AND added_at <= :added_until")


class UnjudgedSpan(Struct, frozen=True):
    """The first and the last unjudged minute, and when the first and the last of them were added."""

    first: datetime
    last: datetime
    first_added: datetime
    last_added: datetime


def add_late(connection: Connection, minute: datetime, now: datetime) -> int:
    """Add the minutes of failures that were received in this minute, too late for an evaluation; returns how many."""
    values = {
        "minute": minute,
        "end": minute + _MINUTE,
        "before": minute - LATE_AFTER,
        "oldest": minute - JUDGED_FOR,
        "now": now,
    }
    return connection.execute(_ADD_LATE, values).rowcount


def add_gap(connection: Connection, now: datetime) -> int:
    """Add the minutes since the last evaluation, if it is longer ago than GAP_AFTER; returns how many."""
    last: datetime | None = connection.execute(_LAST_EVALUATION).scalar_one()
    if last is None or now - last <= GAP_AFTER:
        return 0
    first = max(last, now - JUDGED_FOR).replace(second=0, microsecond=0)
    return connection.execute(_ADD_GAP, {"first": first, "last": now - _MINUTE, "now": now}).rowcount


def span(connection: Connection, now: datetime) -> UnjudgedSpan | None:
    """The span of the unjudged minutes; None without one."""
    row = connection.execute(_SPAN, {"oldest": now - JUDGED_FOR}).one()
    return UnjudgedSpan(*row) if row.first is not None else None


def has_any(connection: Connection, span: UnjudgedSpan, added_until: datetime) -> bool:
    """Whether a minute of the span that was added until then is still unjudged."""
    values = {"first": span.first, "last": span.last, "added_until": added_until}
    return bool(connection.execute(_HAS_ANY, values).scalar_one())


def remove(connection: Connection, last: datetime, added_until: datetime) -> None:
    """Remove the minutes up to `last` that were added until then: they are judged, or too old."""
    connection.execute(_REMOVE, {"last": last, "added_until": added_until})
