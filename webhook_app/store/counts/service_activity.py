"""Signs of life and of trouble that are no failures: webhooks, refusals, quarantine, silent sends, the outbox.

Each read costs what its window holds. What is too much is decided elsewhere.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.rates import series_keys
from webhook_app.store.counts.window_counts import SeriesKey
from webhook_app.store.postgres.engine import Connection


class Outbox(Struct, frozen=True):
    """What a channel waits for: since when, and how many notifications were given up lately."""

    oldest_at: datetime | None
    given_up: int


def events_by_series(connection: Connection, start: datetime, end: datetime) -> dict[SeriesKey, int]:
    """Status events in the full minutes from `start` to before `end`."""
    rows = connection.execute(
        text(
            "SELECT series_id, sum(sent + delivered + read + failed)::bigint AS events FROM minute_counts"
            " WHERE minute >= :start AND minute < :end GROUP BY series_id"
        ),
        {"start": start, "end": end},
    ).all()
    known = series_keys(connection, {series_id for series_id, _ in rows})
    return {known[series_id]: events for series_id, events in rows if events}


def attempts_of(connection: Connection, name: str, value: str, start: datetime, end: datetime) -> int:
    """Messages attempted in this time from one number or account; `name` is a dimension of a series."""
    statement = text(
        "SELECT coalesce(sum(attempts), 0)::bigint FROM minute_counts WHERE minute >= :start AND minute < :end"
        f" AND series_id IN (SELECT id FROM series WHERE {_dimension(name)} = :value)"
    )
    return int(connection.execute(statement, {"start": start, "end": end, "value": value}).scalar_one())


def contacts_of(connection: Connection, name: str, value: str, start: datetime, end: datetime) -> int:
    """Distinct contacts written to in this time, answers to people left out. Reads the events of the time."""
    statement = text(
        "SELECT count(DISTINCT contact) FROM status_events WHERE occurred_at >= :start AND occurred_at < :end"
        " AND status = 'sent' AND contact <> '' AND category <> 'service'"
        f" AND series_id IN (SELECT id FROM series WHERE {_dimension(name)} = :value)"
    )
    return int(connection.execute(statement, {"start": start, "end": end, "value": value}).scalar_one())


def _dimension(name: str) -> str:
    if name not in SeriesKey._fields:
        raise ValueError(f"no dimension of a series: {name}")
    return name


def sends_by_number(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Sends that Meta accepted, as far as senders report them."""
    statement = text(
        "SELECT phone_number_id, count(*) FROM sends"
        " WHERE sent_at >= :start AND sent_at < :end AND NOT failed GROUP BY phone_number_id"
    )
    return {row[0]: row[1] for row in connection.execute(statement, {"start": start, "end": end})}


def silent_sends(connection: Connection, start: datetime, end: datetime) -> int:
    """Sends of the time that Meta accepted and no webhook has told of."""
    statement = text(
        "SELECT count(*) FROM sends s WHERE sent_at >= :start AND sent_at < :end AND NOT failed"
        " AND check_at IS NOT NULL AND NOT EXISTS (SELECT FROM messages m WHERE m.message_id = s.message_id)"
    )
    return int(connection.execute(statement, {"start": start, "end": end}).scalar_one())


def refusals(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Deliveries refused for their signature, by what was wrong with it."""
    statement = text(
        "SELECT kind, sum(count)::bigint FROM rejections WHERE minute >= :start AND minute < :end GROUP BY kind"
    )
    return {row[0]: row[1] for row in connection.execute(statement, {"start": start, "end": end})}


def refusals_by_step(
    connection: Connection, start: datetime, end: datetime, step_minutes: int
) -> dict[datetime, int]:
    """Deliveries refused for their signature, by the start of steps counted from `start`; empty ones left out."""
    statement = text(
        "SELECT date_bin(:step, minute, :start) AS at, sum(count)::bigint FROM rejections"
        " WHERE minute >= :start AND minute < :end GROUP BY 1"
    )
    values = {"step": timedelta(minutes=step_minutes), "start": start, "end": end}
    return {row[0]: row[1] for row in connection.execute(statement, values)}


def quarantined(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Items put into quarantine in this time and not replayed since, by field."""
    statement = text(
        "SELECT field, count(*) FROM quarantine"
        " WHERE received_at >= :start AND received_at < :end AND replayed_at IS NULL GROUP BY field"
    )
    return {row[0]: row[1] for row in connection.execute(statement, {"start": start, "end": end})}


def outbox(connection: Connection, since: datetime) -> dict[str, Outbox]:
    """By channel: the oldest notification that waits, and those given up since then."""
    statement = text("""
        SELECT channel, min(created_at) FILTER (WHERE failed_at IS NULL),
               count(*) FILTER (WHERE failed_at >= :since)
        FROM notifications WHERE sent_at IS NULL GROUP BY channel""")
    return {row[0]: Outbox(row[1], row[2]) for row in connection.execute(statement, {"since": since})}
