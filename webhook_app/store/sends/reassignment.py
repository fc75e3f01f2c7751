"""Reassigns stored messages and their counts to another contact or series once senders report more about them.

Tables are locked in the order of the ingest statement (events, messages, failures, counts) and rows in the order of
their keys, so that the two cannot deadlock. `reassign` is idempotent and runs in a transaction of its own. Uses the
driver: it shares the writers' connection with the ingest statement.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.store.counts.messages import stages
from webhook_app.store.counts.series import COLUMNS, Series, series_ids
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import DriverConnection

_OF_SERIES = f"ARRAY[{COLUMNS}] AS dimensions"

_EVENTS = f"""
SELECT e.message_id, e.phone_number_id, e.status, e.occurred_at, e.participant, e.error_code, e.contact, e.category,
       e.series_id, {_OF_SERIES}
FROM status_events e JOIN series s ON s.id = e.series_id
WHERE keyed_hash(e.message_id) = ANY(ARRAY(SELECT keyed_hash(i) FROM unnest(%(ids)s::text[]) i))
  AND e.message_id = ANY(%(ids)s::text[]) AND e.occurred_at >= %(since)s
ORDER BY e.message_id, e.phone_number_id, e.status, e.occurred_at, e.participant, e.error_code FOR UPDATE OF e
"""
_MESSAGES = f"""
SELECT m.message_id, m.phone_number_id, coalesce(m.sent_at, m.failed_at) AS at, m.contact, NULL AS category,
       m.series_id, {_OF_SERIES}
FROM messages m JOIN series s ON s.id = m.series_id
WHERE m.message_id = ANY(%(ids)s::text[])
ORDER BY m.message_id, m.phone_number_id FOR UPDATE OF m
"""
_FAILURES = f"""
SELECT f.message_id, f.phone_number_id, f.occurred_at, f.participant, f.error_code, f.contact, NULL AS category,
       f.series_id, {_OF_SERIES}
FROM failures f JOIN series s ON s.id = f.series_id
WHERE f.message_id = ANY(%(ids)s::text[]) AND f.occurred_at >= %(since)s
ORDER BY f.message_id, f.phone_number_id, f.occurred_at, f.participant, f.error_code FOR UPDATE OF f
"""
_FAILED_ONCE = f"""
SELECT m.message_id, m.phone_number_id, m.minute, m.error_code, '' AS contact, NULL AS category, m.series_id,
       {_OF_SERIES}
FROM failed_messages m JOIN series s ON s.id = m.series_id
WHERE m.message_id = ANY(%(ids)s::text[]) AND m.alone
ORDER BY m.message_id, m.phone_number_id FOR UPDATE OF m
"""

_SET_EVENTS = """
UPDATE status_events e SET series_id = i.series_id, contact = i.contact, category = i.category
FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bigint[], %s::text[], %s::text[],
            %s::int[])
  AS i(message_id, phone_number_id, status, occurred_at, participant, error_code, contact, category, series_id)
WHERE keyed_hash(e.message_id) = keyed_hash(i.message_id)
  AND e.message_id = i.message_id AND e.phone_number_id = i.phone_number_id AND e.status = i.status
  AND e.occurred_at = i.occurred_at AND e.participant = i.participant AND e.error_code = i.error_code
  AND e.occurred_at BETWEEN %s AND %s
"""
_SET_MESSAGES = """
UPDATE messages m SET series_id = i.series_id, contact = i.contact
FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[]) AS i(message_id, phone_number_id, contact, series_id)
WHERE m.message_id = i.message_id AND m.phone_number_id = i.phone_number_id
"""
# A failure without a contact was skipped by the suppression job: one that gets its contact now is considered again.
_SET_FAILURES = """
UPDATE failures f SET series_id = i.series_id, contact = i.contact,
       considered_at = CASE WHEN f.contact <> i.contact THEN NULL ELSE f.considered_at END
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bigint[], %s::text[], %s::int[])
  AS i(message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id)
WHERE f.message_id = i.message_id AND f.phone_number_id = i.phone_number_id AND f.occurred_at = i.occurred_at
  AND f.participant = i.participant AND f.error_code = i.error_code AND f.occurred_at BETWEEN %s AND %s
"""

_SET_FAILED_ONCE = """
UPDATE failed_messages m SET series_id = i.series_id
FROM unnest(%s::text[], %s::text[], %s::int[]) AS i(message_id, phone_number_id, series_id)
WHERE m.message_id = i.message_id AND m.phone_number_id = i.phone_number_id
"""

_COUNTED = ("attempts", "sent", "delivered", "read", "failed")
_ADD_COUNTS = """
INSERT INTO minute_counts AS c (minute, series_id, slot, attempts, sent, delivered, read, failed)
SELECT i.minute, i.series_id, %s, i.attempts, i.sent, i.delivered, i.read, i.failed
FROM unnest(%s::timestamptz[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[])
  AS i(minute, series_id, attempts, sent, delivered, read, failed)
ON CONFLICT (minute, series_id, slot) DO UPDATE SET
  attempts = c.attempts + excluded.attempts, sent = c.sent + excluded.sent,
  delivered = c.delivered + excluded.delivered, read = c.read + excluded.read, failed = c.failed + excluded.failed
"""

_SENDERS = """
SELECT DISTINCT ON (message_id) message_id, reported_by FROM sends WHERE message_id = ANY(%s::text[])
ORDER BY message_id, registered_at, reported_by
"""
_SINCE = """
SELECT least((SELECT min(least(sent_at, failed_at)) FROM messages WHERE message_id = ANY(%(ids)s::text[])),
             (SELECT min(sent_at) FROM sends WHERE message_id = ANY(%(ids)s::text[]))) - interval '8 days'
"""


class Reassignment(NamedTuple):
    """The contact of a row and what it is counted under."""

    contact: str
    category: str | None
    """None in a table without this column."""
    series: Series


_ADD_FAILURES = """
INSERT INTO failure_counts AS c (minute, series_id, error_code, slot, failures)
SELECT minute, series_id, error_code, %s, failures
FROM unnest(%s::timestamptz[], %s::int[], %s::bigint[], %s::int[]) AS i(minute, series_id, error_code, failures)
ON CONFLICT (minute, series_id, error_code, slot) DO UPDATE SET failures = c.failures + excluded.failures
"""


Complete = Callable[[str, Reassignment], Reassignment]
"""Returns what is known of a message now, for its id and what one of its rows says."""


class Deltas:
    """Changes to add to the counts."""

    def __init__(self) -> None:
        self.events: Counter[tuple[datetime, int, str]] = Counter()
        """By time, series and column of minute_counts."""
        self.failures: Counter[tuple[datetime, int, int]] = Counter()
        """Messages with a single failure, by minute, series and code."""


def reassign(
    connection: DriverConnection, message_ids: Iterable[str], complete: Complete, *, slot: int
) -> int:
    """Complete all rows of these messages and update the counts; returns how many rows changed."""
    ids = text_array(sorted(message_ids))
    since = _one(connection, _SINCE, {"ids": ids})
    if since is None:
        return 0
    values, deltas = {"ids": ids, "since": since}, Deltas()
    messages = _incomplete(
        connection, _MESSAGES, values, complete
    )  # first, as failed_calls.lock and erasures do
    events = _incomplete(connection, _EVENTS, values, complete)
    failures = _incomplete(connection, _FAILURES, values, complete)
    once = _incomplete(connection, _FAILED_ONCE, values, complete) if failures else []
    changed = (events, messages, failures, once)
    series = _series_ids(
        connection, [(row.message_id, known.series) for rows in changed for row, known in rows]
    )
    if events:
        _set_events(connection, events, series)
        stages.request_recount(connection, [(row.message_id, row.phone_number_id) for row, _ in events])
    if messages:
        _set_messages(connection, messages, series)
    if failures:
        _set_failures(connection, failures, series)
    if once:
        _set_failed_once(connection, once, series)
    for row, known in events:
        _shift(deltas, row.occurred_at, _column_of(row.status), row.series_id, series[known.series])
    for row, known in messages:
        _shift(deltas, row.at, "attempts", row.series_id, series[known.series])
    for row, known in once:
        deltas.failures[row.minute, row.series_id, row.error_code] -= 1
        deltas.failures[row.minute, series[known.series], row.error_code] += 1
    add_counts(connection, deltas, slot=slot)
    return len(events) + len(messages) + len(failures)


def _series_ids(connection: DriverConnection, wanted: Sequence[tuple[str, Series]]) -> dict[Series, int]:
    """The ids of these series, each with a message whose sender's report named it."""
    if not wanted:
        return {}
    senders = dict(
        connection.execute(_SENDERS, [text_array(sorted({each for each, _ in wanted}))]).fetchall()
    )
    reported_by = {series: senders.get(message_id, "") for message_id, series in wanted}
    return series_ids(connection, list(reported_by), reported_by=reported_by)


def _column_of(status: str) -> str:
    """The column of minute_counts for a status."""
    return "read" if status == "played" else status


def add_counts(connection: DriverConnection, deltas: Deltas, *, slot: int) -> None:
    """Add the changes to the counts of one writer."""
    rows: dict[tuple[datetime, int], Counter[str]] = {}
    for (at, series_id, column), count in deltas.events.items():
        minute = at.replace(second=0, microsecond=0)
        rows.setdefault((minute, series_id), Counter())[column] += count
    kept = sorted((key, counts) for key, counts in rows.items() if any(counts.values()))
    if kept:
        columns = [[counts[name] for _, counts in kept] for name in _COUNTED]
        minutes, ids = [key[0] for key, _ in kept], [key[1] for key, _ in kept]
        connection.execute(_ADD_COUNTS, [slot, minutes, ids, *columns])
    if failed := sorted((key, count) for key, count in deltas.failures.items() if count):
        keys = [list(column) for column in zip(*(key for key, _ in failed), strict=True)]
        connection.execute(_ADD_FAILURES, [slot, *keys, [count for _, count in failed]])


def _shift(deltas: Deltas, at: datetime | None, column: str, old: int, new: int) -> None:
    if at is not None:
        deltas.events[at, old, column] -= 1
        deltas.events[at, new, column] += 1


def _incomplete(
    connection: DriverConnection, statement: str, values: dict[str, Any], complete: Complete
) -> list[tuple[Any, Reassignment]]:
    """Lock the rows of a statement and return those that differ from what is known, each with what is known."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        rows: list[Any] = cursor.execute(statement, values).fetchall()
    found = []
    for row in rows:
        stored = Reassignment(row.contact, row.category, SeriesKey(*row.dimensions))
        if (known := complete(row.message_id, stored)) != stored:
            found.append((row, known))
    return found


def _set_events(
    connection: DriverConnection, rows: Sequence[tuple[Any, Reassignment]], series: dict[Series, int]
) -> None:
    keys = [list(column) for column in zip(*(row[:6] for row, _ in rows), strict=True)]
    times = [row.occurred_at for row, _ in rows]
    values = [
        [p.contact for _, p in rows],
        [p.category for _, p in rows],
        [series[p.series] for _, p in rows],
    ]
    connection.execute(_SET_EVENTS, [*keys, *values, min(times), max(times)])


def _set_messages(
    connection: DriverConnection, rows: Sequence[tuple[Any, Reassignment]], series: dict[Series, int]
) -> None:
    keys = [list(column) for column in zip(*(row[:2] for row, _ in rows), strict=True)]
    connection.execute(
        _SET_MESSAGES, [*keys, [p.contact for _, p in rows], [series[p.series] for _, p in rows]]
    )


def _set_failures(
    connection: DriverConnection, rows: Sequence[tuple[Any, Reassignment]], series: dict[Series, int]
) -> None:
    keys = [list(column) for column in zip(*(row[:5] for row, _ in rows), strict=True)]
    times = [row.occurred_at for row, _ in rows]
    values = [[p.contact for _, p in rows], [series[p.series] for _, p in rows]]
    connection.execute(_SET_FAILURES, [*keys, *values, min(times), max(times)])


def _set_failed_once(
    connection: DriverConnection, rows: Sequence[tuple[Any, Reassignment]], series: dict[Series, int]
) -> None:
    keys = [list(column) for column in zip(*(row[:2] for row, _ in rows), strict=True)]
    connection.execute(_SET_FAILED_ONCE, [*keys, [series[p.series] for _, p in rows]])


def _one(connection: DriverConnection, statement: str, values: dict[str, Any]) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None
