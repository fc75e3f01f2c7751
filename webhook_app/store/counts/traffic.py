"""Status events, attempts and contacts of a span of time, read from the minute counts and the events."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.counts.dimensions import DIMENSIONS, SeriesKey
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.slots import OF_WEBHOOKS
from webhook_app.store.postgres.engine import Connection

_STATUSES = text("""
SELECT minute, sum(sent)::bigint, sum(delivered)::bigint, sum(read)::bigint, sum(failed)::bigint
FROM minute_counts WHERE minute >= :start AND minute < :end GROUP BY minute
""")
_EVENTS = text(f"""
SELECT series_id, sum(sent + delivered + read + failed)::bigint AS events FROM minute_counts
WHERE minute >= :start AND minute < :end AND {OF_WEBHOOKS} GROUP BY series_id
""")
_ATTEMPTS_AND_EVENTS = text(f"""
SELECT series_id, coalesce(sum(attempts) FILTER (WHERE minute >= :attempts_since), 0)::bigint AS attempts,
       coalesce(sum(sent + delivered + read + failed)
                  FILTER (WHERE minute >= :events_since AND {OF_WEBHOOKS}), 0)::bigint AS events
FROM minute_counts WHERE minute >= least(:attempts_since, :events_since) AND minute < :end GROUP BY series_id
""")
_MESSAGED = """
FROM status_events e JOIN series s ON s.id = e.series_id
WHERE e.occurred_at >= :start AND e.occurred_at < :end AND e.status = 'sent' AND e.contact <> ''
  AND e.category <> 'service' AND s.{dimension} = ANY(:values)
"""
_CONTACTS = f"SELECT s.{{dimension}}, count(DISTINCT e.contact) {_MESSAGED} GROUP BY s.{{dimension}}"
_PEOPLE = text(f"SELECT count(DISTINCT e.contact) {_MESSAGED.format(dimension='waba_id')}")


class Statuses(Struct, frozen=True):
    """Status events by kind; one message has several."""

    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.sent + self.delivered + self.read + self.failed


def statuses_by_minute(connection: Connection, start: datetime, end: datetime) -> dict[datetime, Statuses]:
    """Status events by the minute they occurred in; minutes without any are left out."""
    rows = connection.execute(_STATUSES, {"start": start, "end": end})
    return {row[0]: Statuses(*row[1:]) for row in rows}


def events_by_series(connection: Connection, start: datetime, end: datetime) -> dict[SeriesKey, int]:
    """Status webhooks by series in the full minutes from `start` to before `end`, without reports of senders."""
    rows = connection.execute(_EVENTS, {"start": start, "end": end}).all()
    known = series_keys(connection, {series_id for series_id, _ in rows})
    return {known[series_id]: events for series_id, events in rows if events}


def attempts_and_events(
    connection: Connection, attempts_since: datetime, events_since: datetime, end: datetime
) -> tuple[dict[SeriesKey, int], dict[SeriesKey, int]]:
    """Attempts (rates.py) and status webhooks by series, in one scan, each from its own minute to before `end`."""
    values = {"attempts_since": attempts_since, "events_since": events_since, "end": end}
    rows = connection.execute(_ATTEMPTS_AND_EVENTS, values).all()
    known = series_keys(connection, {series_id for series_id, _, _ in rows})
    return (
        {known[series_id]: attempts for series_id, attempts, _ in rows if attempts},
        {known[series_id]: events for series_id, _, events in rows if events},
    )


def contacts_of(
    connection: Connection, dimension: str, values: Sequence[str], start: datetime, end: datetime
) -> dict[str, int]:
    """Distinct contacts messaged in the span by value of a dimension, such as each of these business numbers.

    Replies to their own messages are excluded. Reads the span's events.
    """
    if dimension not in DIMENSIONS:
        raise ValueError(f"not a dimension of a series: {dimension}")
    given = {"start": start, "end": end, "values": list(values)}
    rows = connection.execute(text(_CONTACTS.format(dimension=dimension)), given)
    return {row[0]: row[1] for row in rows}


def people_messaged(connection: Connection, waba_ids: Sequence[str], start: datetime, end: datetime) -> int:
    """Distinct contacts that any of these accounts messaged in the span, as `contacts_of` counts them."""
    given = {"start": start, "end": end, "values": list(waba_ids)}
    return int(connection.execute(_PEOPLE, given).scalar_one())
