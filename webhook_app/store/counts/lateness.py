"""Lateness of events by the minute they were received: their lag, and delivered messages without a `sent`.

A row is added for each minute that is over, and filled from the events received in it; counting again gives the same
result. Reading costs a few rows, whatever the traffic.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

BOUNDS_S = (
    *(1, 2, 3, 5, 8, 13, 20, 30, 45, 60, 90, 120, 180, 300, 600),
    *(1_800, 3_600, 14_400, 43_200, 86_400, 604_800),
)
"""The upper bounds of the classes in which lags are counted; one more class is for longer lags."""

GRACE = timedelta(minutes=30)
"""How long a `sent` may come after a `delivered`."""

MAX_LIVE_LAG = timedelta(minutes=2)
"""A later event belongs to a backlog, in which a `sent` may come long after the `delivered`."""

_MAX_BACKFILL = timedelta(days=30)

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


class Lateness(Struct, frozen=True, kw_only=True):
    """The lateness of a span. Of `reached` messages, delivered without delay, `unsent` had no `sent` in time."""

    events: int
    lag_p50_seconds: int | None
    lag_p95_seconds: int | None
    lag_p99_seconds: int | None
    reached: int
    unsent: int


# Done before counting, because pages that the BRIN index has not summarized are all read.
_SUMMARIZE = text("""
SELECT brin_summarize_new_values(i.inhrelid) FROM pg_inherits i
JOIN pg_index x ON x.indexrelid = i.inhrelid
WHERE i.inhparent = 'status_events_received'::regclass AND x.indrelid::regclass::text = ANY(:tables)
""")
_ANY = text("SELECT EXISTS (SELECT FROM lateness)")
_ADD_MINUTES = text("""
INSERT INTO lateness (minute)
SELECT generate_series(
  greatest((SELECT max(minute) FROM lateness) + interval '1 minute', CAST(:oldest AS timestamptz)),
  CAST(:last AS timestamptz), interval '1 minute')
ON CONFLICT DO NOTHING
""")
_REMOVE_FUTURE = text("""
DELETE FROM lateness WHERE minute > :kept_until AND EXISTS (SELECT FROM lateness WHERE minute > :last)
""")
_UNCOUNTED = text(
    "SELECT minute FROM lateness WHERE unsent IS NULL AND lags IS NULL ORDER BY minute DESC LIMIT :limit"
)
_LAGS = text("""
SELECT width_bucket(extract(epoch FROM received_at - occurred_at)::float8, CAST(:bounds AS float8[])) AS place,
       count(*) AS events
FROM status_events
WHERE received_at >= :minute AND received_at < :end AND occurred_at > :oldest AND NOT clock_replaced
GROUP BY 1
""")
_STORE = text("""
INSERT INTO lateness (minute, events, lags) VALUES (:minute, :events, :lags)
ON CONFLICT (minute) DO UPDATE SET events = excluded.events, lags = excluded.lags
""")
_UNCHECKED = text(
    "SELECT minute FROM lateness WHERE unsent IS NULL AND lags IS NOT NULL AND minute <= :last"
    " ORDER BY minute DESC LIMIT :limit"
)
_CHECK = text("""
UPDATE lateness SET (reached, unsent) = (
  SELECT count(*), count(*) FILTER (WHERE m.sent_at IS NULL AND NOT EXISTS (
    SELECT FROM settled_messages s WHERE keyed_hash(s.message_id) = keyed_hash(r.message_id)
      AND (s.message_id, s.phone_number_id) = (r.message_id, r.phone_number_id)))
  FROM (SELECT DISTINCT message_id, phone_number_id FROM status_events
        WHERE received_at >= :minute AND received_at < :end AND occurred_at > :oldest
          AND received_at < occurred_at + :max_live_lag AND status IN ('delivered', 'read', 'played')) AS r
  LEFT JOIN messages m ON (m.message_id, m.phone_number_id) = (r.message_id, r.phone_number_id))
WHERE minute = :minute
""")
_SPAN = text("""
SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(sum(reached), 0)::bigint AS reached,
       coalesce(sum(unsent), 0)::bigint AS unsent,
       (SELECT array_agg(n ORDER BY place) FROM (
          SELECT place, sum(lag)::bigint AS n FROM lateness a, unnest(a.lags) WITH ORDINALITY AS l(lag, place)
          WHERE a.minute >= :start AND a.minute < :end GROUP BY place) AS summed) AS lags
FROM lateness WHERE minute >= :start AND minute < :end
""")


def summarize_index(connection: Connection, since: datetime, now: datetime) -> None:
    """Summarize the newest pages of the index over times of receipt, in the partitions since `since`."""
    first = since - _DAY
    days = [f"status_events_{first + n * _DAY:%Y%m%d}" for n in range((now - first) // _DAY + 2)]
    connection.execute(_SUMMARIZE, {"tables": days})


def add_minutes(connection: Connection, last: datetime, first_ever: datetime) -> None:
    """Add a row for every minute from the newest known one to `last`; without a known one, from `first_ever`."""
    known = connection.execute(_ANY).scalar_one()
    oldest = last - _MAX_BACKFILL if known else first_ever
    connection.execute(_ADD_MINUTES, {"last": last, "oldest": oldest})


def remove_future(connection: Connection, last: datetime, kept_until: datetime) -> None:
    """If minutes after `last` were added, by a clock that was ahead, remove those after `kept_until`."""
    connection.execute(_REMOVE_FUTURE, {"last": last, "kept_until": kept_until})


def uncounted(connection: Connection, limit: int) -> list[datetime]:
    """Minutes that are not counted yet, newest first."""
    return list(connection.execute(_UNCOUNTED, {"limit": limit}).scalars())


def count_minute(connection: Connection, minute: datetime) -> None:
    """Count the events received in this minute by their lag; events older than eight days are left out."""
    lags = [0] * (len(BOUNDS_S) + 1)
    values = {"bounds": list(BOUNDS_S), **_span_of(minute)}
    for row in connection.execute(_LAGS, values):
        lags[row.place] = row.events
    connection.execute(_STORE, {"minute": minute, "events": sum(lags), "lags": lags})


def unchecked(connection: Connection, now: datetime, limit: int) -> list[datetime]:
    """Counted minutes whose grace is over and whose delivered messages are not compared with the sent ones yet."""
    last = now - GRACE - _MINUTE
    return list(connection.execute(_UNCHECKED, {"last": last, "limit": limit}).scalars())


def check_minute(connection: Connection, minute: datetime) -> None:
    """Count the messages that this minute's events report as delivered, and those of them without a `sent`."""
    connection.execute(_CHECK, {"max_live_lag": MAX_LIVE_LAG, **_span_of(minute)})


def read(connection: Connection, start: datetime, end: datetime) -> Lateness:
    """The lateness from `start` to before `end`. Percentiles are upper bounds from BOUNDS_S."""
    row = connection.execute(_SPAN, {"start": start, "end": end}).one()
    p50, p95, p99 = (percentile(row.lags or [], share) for share in (0.5, 0.95, 0.99))
    return Lateness(
        events=row.events,
        lag_p50_seconds=p50,
        lag_p95_seconds=p95,
        lag_p99_seconds=p99,
        reached=row.reached,
        unsent=row.unsent,
    )


def last_hour(connection: Connection, now: datetime) -> Lateness:
    """The lags of the last hour, with the delivered and unsent messages of the last hour whose grace is over."""
    end = now.replace(second=0, microsecond=0)
    checked = newest_checked(connection, now, _HOUR)
    return replace(read(connection, end - _HOUR, end), reached=checked.reached, unsent=checked.unsent)


def newest_checked(connection: Connection, now: datetime, length: timedelta) -> Lateness:
    """The lateness of the newest span of this length whose grace is over."""
    end = now.replace(second=0, microsecond=0) - GRACE
    return read(connection, end - length, end)


def percentile(lags: Sequence[int], share: float) -> int | None:
    """The bound that this share of the lags does not exceed; None without events."""
    wanted, seen = share * sum(lags), 0
    for place, events in enumerate(lags):
        seen += events
        if events and seen >= wanted:
            return BOUNDS_S[min(place, len(BOUNDS_S) - 1)]
    return None


def _span_of(minute: datetime) -> dict[str, datetime]:
    return {"minute": minute, "end": minute + _MINUTE, "oldest": minute - 8 * _DAY}
