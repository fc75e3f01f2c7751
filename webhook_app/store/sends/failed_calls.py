"""Failed send calls of messages with an id from Meta, stored as failed events: one per message and code.

If a webhook reports the same failure, its event counts and the call only adds its subcode and trace. Each function is
idempotent and runs in a transaction of its own. Uses the driver: it shares the writers' connection with the ingest
statement.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row

from webhook_app.store.counts.messages import stages
from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.ingest_statement import WEBHOOK, FailureRow
from webhook_app.store.sends.reassignment import Deltas


class FailedEvent(NamedTuple):
    """One event of a message with its source."""

    phone_number_id: str
    status: str
    occurred_at: datetime
    participant: str
    error_code: int
    series_id: int
    source: str


_LOCK = """
SELECT FROM messages WHERE message_id = %s ORDER BY phone_number_id FOR UPDATE
"""
_EVENTS = """
SELECT e.phone_number_id, e.status, e.occurred_at, e.participant, e.error_code, e.series_id,
       coalesce(f.source, 'webhook') AS source
FROM status_events e
LEFT JOIN (SELECT phone_number_id, occurred_at, participant, error_code, source FROM failures
           WHERE message_id = %(message_id)s) f
  ON e.status = 'failed' AND (f.phone_number_id, f.occurred_at, f.participant, f.error_code)
                           = (e.phone_number_id, e.occurred_at, e.participant, e.error_code)
WHERE keyed_hash(e.message_id) = keyed_hash(%(message_id)s) AND e.message_id = %(message_id)s
ORDER BY e.phone_number_id, e.occurred_at, e.error_code
"""
_MARK_AS_WEBHOOK = """
UPDATE failures f SET source = %s, title = i.title, details = i.details, errors = nullif(i.errors, '')::jsonb,
       considered_at = CASE WHEN f.contact = '' OR f.explained_by <> -1 THEN f.considered_at END,
       explained_by = nullif(f.explained_by, -1)
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
  AS i(message_id, phone_number_id, occurred, participant, error_code, title, details, errors)
WHERE f.message_id = i.message_id AND f.phone_number_id = i.phone_number_id
  AND f.occurred_at = to_timestamp(i.occurred) AND f.participant = i.participant AND f.error_code = i.error_code
  AND f.source = 'send'
RETURNING f.message_id, f.phone_number_id
"""
_ADD_TRACE = """
UPDATE failures SET error_subcode = %s, fbtrace_id = %s
WHERE message_id = %s AND phone_number_id = %s AND error_code = %s AND source = 'webhook'
  AND (error_subcode, fbtrace_id) IS DISTINCT FROM (%s, %s)
"""
_GONE = (
    "unnest(%s::text[], %s::timestamptz[], %s::bigint[]) AS i(phone_number_id, occurred_at, error_code)"
    " WHERE {0}.message_id = %s AND {0}.phone_number_id = i.phone_number_id AND {0}.occurred_at = i.occurred_at"
    " AND {0}.participant = '' AND {0}.error_code = i.error_code"
)
_DELETE_FAILURES = f"""
DELETE FROM failures f USING {_GONE.format("f")} AND f.source = 'send'
RETURNING f.phone_number_id, f.occurred_at, f.error_code
"""
_DELETE_EVENTS = f"""
DELETE FROM status_events e USING {_GONE.format("e")} AND e.status = 'failed'
  AND keyed_hash(e.message_id) = keyed_hash(%s)
"""
_ATTEMPT = "SELECT series_id, sent_at, failed_at FROM messages WHERE message_id = %s AND phone_number_id = %s"
_FIRST_FAILED = """
SELECT occurred_at, series_id FROM status_events
WHERE keyed_hash(message_id) = keyed_hash(%s)
  AND message_id = %s AND phone_number_id = %s AND status = 'failed' ORDER BY occurred_at LIMIT 1
"""
_SET_ATTEMPT = """
UPDATE messages SET failed_at = %s, series_id = %s WHERE message_id = %s AND phone_number_id = %s
"""
_FAILED = """
SELECT minute, series_id, error_code, alone FROM failed_messages
WHERE message_id = %s AND phone_number_id = %s FOR UPDATE
"""
_FAILURES_LEFT = """
SELECT occurred_at, series_id, coalesce(counted_code, error_code), count(*) OVER (), max(occurred_at) OVER ()
FROM failures WHERE message_id = %s AND phone_number_id = %s ORDER BY occurred_at LIMIT 1
"""
_SET_FAILED = """
UPDATE failed_messages SET minute = %s, series_id = %s, error_code = %s, alone = %s, first_at = %s, last_at = %s
WHERE message_id = %s AND phone_number_id = %s
"""
_DELETE_FAILED = "DELETE FROM failed_messages WHERE message_id = %s AND phone_number_id = %s"
_DELETE_ATTEMPT = "DELETE FROM messages WHERE message_id = %s AND phone_number_id = %s"


def lock(connection: DriverConnection, message_id: str) -> None:
    """Lock the message, so that no other transaction changes its events."""
    connection.execute(_LOCK, [message_id])


def events_of(connection: DriverConnection, message_id: str) -> list[FailedEvent]:
    """All events of the message."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return [FailedEvent(*row) for row in cursor.execute(_EVENTS, {"message_id": message_id})]


def mark_as_webhook(connection: DriverConnection, failures: Sequence[FailureRow]) -> None:
    """Make the webhook the source of failures that a call reported before."""
    if failures:
        message, number, occurred, _, participant, code, _, _, title, details, errors, *_ = zip(
            *failures, strict=True
        )
        values = [text_array(message), text_array(number), int_array(occurred), text_array(participant)]
        values += [int_array(code), text_array(title), text_array(details), text_array(errors)]
        marked = connection.execute(_MARK_AS_WEBHOOK, [WEBHOOK, *values]).fetchall()
        stages.request_recount(connection, [(row[0], row[1]) for row in marked])


def add_trace(
    connection: DriverConnection, message_id: str, number: str, code: int, subcode: int, trace: str
) -> None:
    """Add the subcode and trace of a call to the failures that webhooks reported."""
    connection.execute(_ADD_TRACE, [subcode, trace, message_id, number, code, subcode, trace])


def delete_events(
    connection: DriverConnection, message_id: str, events: Iterable[FailedEvent], deltas: Deltas
) -> None:
    """Delete events that calls reported, and add the changes of the counts to `deltas`."""
    series = {(each.phone_number_id, each.occurred_at, each.error_code): each.series_id for each in events}
    if not series:
        return
    keys: list[Any] = [list(column) for column in zip(*series, strict=True)]
    deleted = connection.execute(_DELETE_FAILURES, [*keys, message_id]).fetchall()
    if not deleted:
        return
    keys = [list(column) for column in zip(*deleted, strict=True)]
    connection.execute(_DELETE_EVENTS, [*keys, message_id, message_id])
    for number, occurred_at, code in deleted:
        deltas.events[occurred_at, series[number, occurred_at, code], "failed"] -= 1
    for number in sorted({row[0] for row in deleted}):
        stages.request_recount(connection, [(message_id, number)])
        _recount_attempt(connection, message_id, number, deltas)
        _recount_failures(connection, message_id, number, deltas)


def _recount_attempt(connection: DriverConnection, message_id: str, number: str, deltas: Deltas) -> None:
    """Count the attempt at its new time and series after an event was deleted."""
    key: list[Any] = [message_id, number]
    attempt = connection.execute(_ATTEMPT, key).fetchone()
    if attempt is None:
        return
    series_id, sent_at, failed_at = attempt
    first = connection.execute(_FIRST_FAILED, [message_id, *key]).fetchone()
    left_at, left_series = first or (None, series_id)
    if sent_at is not None:
        connection.execute(_SET_ATTEMPT, [left_at, series_id, *key])
        return
    deltas.events[failed_at, series_id, "attempts"] -= 1
    if left_at is None:
        connection.execute(_DELETE_ATTEMPT, key)
    else:
        connection.execute(_SET_ATTEMPT, [left_at, left_series, *key])
        deltas.events[left_at, left_series, "attempts"] += 1


def _recount_failures(connection: DriverConnection, message_id: str, number: str, deltas: Deltas) -> None:
    """Count the message's remaining failures: a single one is counted in its minute, see failed_messages."""
    key: list[Any] = [message_id, number]
    row = connection.execute(_FAILED, key).fetchone()
    if row is None:
        return
    minute, series_id, code, alone = row
    if alone:
        deltas.failures[minute, series_id, code] -= 1
    left = connection.execute(_FAILURES_LEFT, key).fetchone()
    if left is None:
        connection.execute(_DELETE_FAILED, key)
        return
    first_at, series_id, code, count, last_at = left
    minute = first_at.replace(second=0, microsecond=0)
    connection.execute(_SET_FAILED, [minute, series_id, code, count == 1, first_at, last_at, *key])
    if count == 1:
        deltas.failures[minute, series_id, code] += 1
