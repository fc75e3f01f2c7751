"""Counts of every minute of a span as values, for backtests."""

from datetime import datetime

from msgspec import Struct, field
from sqlalchemy import text

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.slots import OF_WEBHOOKS
from webhook_app.store.counts.window_counts import Mark
from webhook_app.store.postgres.engine import Connection

Message = tuple[str, str]
"""Message id and business number."""


class Minute(Struct):
    """The counts of one minute. `once`: messages with a single failure; `again`: every failure of the others."""

    attempts: dict[SeriesKey, int] = field(default_factory=dict)
    events: dict[SeriesKey, int] = field(default_factory=dict)
    once: dict[Mark, int] = field(default_factory=dict)
    again: list[tuple[Message, Mark]] = field(default_factory=list)


_ATTEMPTS = text(f"""
SELECT minute, series_id, sum(attempts)::bigint AS attempts,
       coalesce(sum(sent + delivered + read + failed) FILTER (WHERE {OF_WEBHOOKS}), 0)::bigint AS events
FROM minute_counts WHERE minute >= :start AND minute < :end GROUP BY minute, series_id
""")
_ONCE = text("""
SELECT minute, series_id, error_code, sum(failures)::bigint AS failures
FROM failure_counts WHERE minute >= :start AND minute < :end
GROUP BY minute, series_id, error_code HAVING sum(failures) <> 0
""")
_AGAIN = text("""
SELECT date_trunc('minute', f.occurred_at) AS minute, f.message_id, f.phone_number_id,
       coalesce(f.counted_code, f.error_code) AS error_code, f.series_id
FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
WHERE NOT m.alone AND m.last_at >= :start AND m.first_at < :end
  AND f.occurred_at >= :start AND f.occurred_at < :end
""")


def read(connection: Connection, start: datetime, end: datetime) -> dict[datetime, Minute]:
    """The counts of the minutes from `start` to before `end`; empty minutes are left out."""
    span = {"start": start, "end": end}
    attempts = connection.execute(_ATTEMPTS, span).all()
    once = connection.execute(_ONCE, span).all()
    again = connection.execute(_AGAIN, span).all()
    known = series_keys(connection, {row.series_id for rows in (attempts, once, again) for row in rows})
    found: dict[datetime, Minute] = {}
    for row in attempts:
        minute = found.setdefault(row.minute, Minute())
        if row.attempts:
            minute.attempts[known[row.series_id]] = row.attempts
        if row.events:
            minute.events[known[row.series_id]] = row.events
    for row in once:
        found.setdefault(row.minute, Minute()).once[Mark(row.error_code, known[row.series_id])] = row.failures
    for row in again:
        mark = Mark(row.error_code, known[row.series_id])
        found.setdefault(row.minute, Minute()).again.append(((row.message_id, row.phone_number_id), mark))
    return found
