"""The ingest statement: one round trip that de-duplicates, counts, archives and books a batch of deliveries.

Rows are sorted by their unique key, so that two batches cannot deadlock. Everything derived comes from the rows
the de-duplicating insert returned. Columns travel as array literals, one text parameter each; a column that is
empty throughout travels as {} (unnest pads it with nulls). Hot path: no objects per row, no joins without need.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from msgspec import Struct

from webhook_app.store.people.links import BY_CONTACT, BY_USER, NUMBERS_CHANGED, linking
from webhook_app.store.postgres.arrays import bool_array, int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.archive import pack

Series = tuple[str, str, str, str, str]
"""phone_number_id, waba_id, template, campaign, country."""

StatusRow = tuple[str, str, str, int, str, str, int, str, int, str, str]
"""message_id, phone_number_id, status, occurred (Unix seconds), raw timestamp ('' when it says the same), participant,
error code, contact, series id, category, callback data. It begins with what makes an event itself: sorted as tuples,
the rows of two batches meet in the same order."""

FailureRow = tuple[str, str, int, str, str, int, str, int, str, str, str, str, int, str, bool]
"""message_id, phone_number_id, occurred, raw timestamp, participant, error code, contact, series id, title, details,
errors as JSON text, source, error subcode, fbtrace_id, and whether the code can count against the contact:
pipeline/suppressions/suppress must then look at it."""

WEBHOOK, SEND = "webhook", "send"
"""Where a failure was heard of. A webhook's has no subcode and no trace of its own."""


class Batch(Struct, gc=False):
    """What one transaction stores. `ignored` items are only booked.

    Without bodies it did not come as a delivery: nothing is archived and nothing booked.
    """

    statuses: list[StatusRow]
    failures: list[FailureRow]
    links: list[tuple[str, str]]
    """(user_id, contact) pairs not seen before by this process."""
    bodies: list[bytes]
    ignored: int


_INSERT = f"""
WITH new_events AS (
  INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
                             series_id, category, callback_data, clock_replaced, received_at)
  SELECT i.message_id, i.phone_number_id, i.status, coalesce(r.occurred_at, to_timestamp(i.occurred)),
         coalesce(i.participant, ''), coalesce(i.error_code, -1), i.contact, i.series_id, coalesce(i.category, ''),
         coalesce(i.callback_data, ''), r.occurred_at IS NOT NULL, $1
  FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::text[],
              $10::int[], $11::text[], $12::text[])
    AS i(message_id, phone_number_id, status, occurred, raw_timestamp, participant, error_code, contact, series_id,
         category, callback_data)
  LEFT JOIN clock_repairs r
    ON (r.message_id, r.phone_number_id, r.status, r.raw_timestamp, r.participant, r.error_code)
     = (i.message_id, i.phone_number_id, i.status, coalesce(nullif(i.raw_timestamp, ''), i.occurred::text),
        coalesce(i.participant, ''), coalesce(i.error_code, -1))
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, status, occurred_at, contact, series_id
), attempted AS (
  INSERT INTO messages AS m (message_id, phone_number_id, contact, series_id, sent_at, failed_at)
  SELECT message_id, phone_number_id, max(contact),
         (array_agg(series_id ORDER BY status DESC, occurred_at))[1],
         min(occurred_at) FILTER (WHERE status = 'sent'), min(occurred_at) FILTER (WHERE status = 'failed')
  FROM new_events WHERE status IN ('sent', 'failed')
  GROUP BY message_id, phone_number_id ORDER BY message_id, phone_number_id
  ON CONFLICT (message_id, phone_number_id) DO UPDATE SET
    was_at = coalesce(m.sent_at, m.failed_at), was_series_id = m.series_id,
    series_id = CASE WHEN coalesce(excluded.sent_at < m.sent_at, excluded.sent_at IS NOT NULL AND m.sent_at IS NULL,
                                   FALSE)
                       OR (m.sent_at IS NULL AND excluded.sent_at IS NULL AND excluded.failed_at < m.failed_at)
                     THEN excluded.series_id ELSE m.series_id END,
    sent_at = least(m.sent_at, excluded.sent_at), failed_at = least(m.failed_at, excluded.failed_at),
    contact = greatest(m.contact, excluded.contact)
  RETURNING m.series_id, coalesce(m.sent_at, m.failed_at) AS at, m.was_at, m.was_series_id
), deltas AS (
  SELECT date_trunc('minute', at) AS minute, series_id, 1 AS attempts, 0 AS sent, 0 AS delivered, 0 AS read, 0 AS failed
  FROM attempted
  UNION ALL
  SELECT date_trunc('minute', was_at), was_series_id, -1, 0, 0, 0, 0 FROM attempted WHERE was_at IS NOT NULL
  UNION ALL
  SELECT date_trunc('minute', occurred_at), series_id, 0, (status = 'sent')::int, (status = 'delivered')::int,
         (status IN ('read', 'played'))::int, (status = 'failed')::int
  FROM new_events
), counted AS (
  INSERT INTO minute_counts AS c (minute, series_id, slot, attempts, sent, delivered, read, failed)
  SELECT minute, series_id, $13, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
  FROM deltas GROUP BY minute, series_id ORDER BY minute, series_id
  ON CONFLICT (minute, series_id, slot) DO UPDATE SET
    attempts = c.attempts + excluded.attempts, sent = c.sent + excluded.sent,
    delivered = c.delivered + excluded.delivered, read = c.read + excluded.read, failed = c.failed + excluded.failed
), {linking("unnest($14::text[], $15::text[]) AS l(user_id, contact)")}, reached AS (
  SELECT DISTINCT contact FROM new_events WHERE status IN ('delivered', 'read', 'played')
), suppressed AS (  -- under the event's own key or a linked one; by probes, so that no table's size matters
  SELECT s.contact, e.contact AS reached
  FROM reached e CROSS JOIN LATERAL (SELECT contact FROM suppressions WHERE contact = e.contact OFFSET 0) AS s
  UNION ALL  -- user ids begin with a letter; a number stands in user_id only after a change of number
  SELECT s.contact, e.contact
  FROM reached e
  CROSS JOIN LATERAL {BY_USER.format(key="e.contact")} AS k
  CROSS JOIN LATERAL (SELECT contact FROM suppressions WHERE contact = k.key OFFSET 0) AS s
  WHERE e.contact >= 'A' OR {NUMBERS_CHANGED}
  UNION ALL
  SELECT s.contact, e.contact
  FROM reached e
  CROSS JOIN LATERAL {BY_CONTACT.format(key="e.contact")} AS k
  CROSS JOIN LATERAL (SELECT contact FROM suppressions WHERE contact = k.key OFFSET 0) AS s
  WHERE (SELECT max(contact) FROM suppressions) >= 'A' OR {NUMBERS_CHANGED}
  UNION ALL
  SELECT s.contact, e.contact
  FROM reached e
  JOIN (SELECT user_id AS key, contact AS of FROM linked UNION ALL SELECT contact, user_id FROM linked) AS k
    ON k.of = e.contact
  CROSS JOIN LATERAL (SELECT contact FROM suppressions WHERE contact = k.key OFFSET 0) AS s
), queued AS (
  INSERT INTO successes (contact, phone_number_id, what, message_id, occurred_at)
  SELECT DISTINCT s.contact, e.phone_number_id, e.status, e.message_id, e.occurred_at
  FROM suppressed s JOIN new_events e ON e.contact = s.reached
  WHERE e.status IN ('delivered', 'read', 'played')
), archived AS (
  INSERT INTO deliveries (received_at, body, packed) SELECT $1, $16, true WHERE $16::bytea IS NOT NULL
), booked AS (
  INSERT INTO books AS b (day, slot, received, applied, duplicate, ignored)
  SELECT $1::timestamptz::date, $13, $17::int + $18::int, n.applied, $17::int - n.applied, $18::int
  FROM (SELECT count(*) AS applied FROM new_events) n WHERE $16::bytea IS NOT NULL
  ON CONFLICT (day, slot) DO UPDATE SET
    received = b.received + excluded.received, applied = b.applied + excluded.applied,
    duplicate = b.duplicate + excluded.duplicate, ignored = b.ignored + excluded.ignored
)
"""

_RESULT = "\nSELECT (SELECT count(*) FROM new_events), EXISTS (SELECT FROM sends)"
_NO_FAILURES = _INSERT + _RESULT

_WITH_FAILURES = (
    _INSERT.rstrip()
    + """, failed AS (  -- its own unique key says what is new, as that of status_events does
  INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                        title, details, errors, source, error_subcode, fbtrace_id, received_at, considered_at)
  SELECT f.message_id, f.phone_number_id, coalesce(r.occurred_at, to_timestamp(f.occurred)), f.participant,
         f.error_code, f.contact, f.series_id, f.title, f.details, nullif(f.errors, '')::jsonb,
         f.source, f.subcode, f.trace, $1,
         CASE WHEN f.strikes AND f.contact <> '' THEN NULL ELSE $1::timestamptz END
  FROM unnest($19::text[], $20::text[], $21::bigint[], $22::text[], $23::text[], $24::bigint[], $25::text[],
              $26::int[], $27::text[], $28::text[], $29::text[], $30::text[],
              $31::bigint[], $32::text[], $33::bool[])
    AS f(message_id, phone_number_id, occurred, raw_timestamp, participant, error_code, contact, series_id,
         title, details, errors, source, subcode, trace, strikes)
  LEFT JOIN clock_repairs r
    ON (r.message_id, r.phone_number_id, r.status, r.raw_timestamp, r.participant, r.error_code)
     = (f.message_id, f.phone_number_id, 'failed', coalesce(nullif(f.raw_timestamp, ''), f.occurred::text),
        f.participant, f.error_code)
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, occurred_at, error_code, series_id
), told_apart AS (  -- a message whose failure is its only one is counted where that is; others when read
  INSERT INTO failed_messages AS m (message_id, phone_number_id, minute, error_code, series_id, alone, first_at,
                                    last_at)
  SELECT message_id, phone_number_id, date_trunc('minute', min(occurred_at)), min(error_code), min(series_id),
         count(*) = 1, min(occurred_at), max(occurred_at)
  FROM failed GROUP BY message_id, phone_number_id ORDER BY message_id, phone_number_id
  ON CONFLICT (message_id, phone_number_id) DO UPDATE SET
    was_alone = m.alone, alone = FALSE,
    first_at = least(m.first_at, excluded.first_at), last_at = greatest(m.last_at, excluded.last_at)
  RETURNING minute, series_id, error_code, alone::int - coalesce(was_alone, FALSE)::int AS messages
), failures_counted AS (
  INSERT INTO failure_counts AS c (minute, series_id, error_code, slot, failures)
  SELECT minute, series_id, error_code, $13, sum(messages) FROM told_apart WHERE messages <> 0
  GROUP BY minute, series_id, error_code ORDER BY minute, series_id, error_code
  ON CONFLICT (minute, series_id, error_code, slot) DO UPDATE SET failures = c.failures + excluded.failures
)"""
    + _RESULT
)


class Stored(NamedTuple):
    """How many of a batch's status events were new, and whether any sender had reported sends before it."""

    new: int
    sends_are_used: bool


def insert_batch(connection: DriverConnection, batch: Batch, *, received_at: datetime, slot: int) -> Stored:
    """Store a batch in one statement."""
    statuses = sorted(batch.statuses)
    values: list[Any] = [
        received_at,
        *_status_columns(statuses),
        slot,
        *map(text_array, zip(*sorted(batch.links), strict=True) if batch.links else ((), ())),
        pack(batch.bodies) if batch.bodies else None,
        len(statuses),
        batch.ignored,
    ]
    statement = _NO_FAILURES
    if batch.failures:
        statement = _WITH_FAILURES
        values += _failure_columns(sorted(batch.failures))
    cursor = psycopg.RawCursor(connection)
    row = cursor.execute(statement, values, prepare=True).fetchone()
    assert row is not None  # noqa: S101  a SELECT without FROM always has a row
    return Stored(*row)


def _status_columns(rows: Sequence[StatusRow]) -> list[str]:
    if not rows:
        return ["{}"] * 11
    message, number, status, occurred, raw, participant, code, contact, series, category, callback = zip(
        *rows, strict=True
    )
    return [
        text_array(message),
        text_array(number),
        text_array(status),
        int_array(occurred),
        _or_nothing(raw),
        _or_nothing(participant),
        int_array(code) if "failed" in status else "{}",
        text_array(contact),
        int_array(series),
        _or_nothing(category),
        _or_nothing(callback),
    ]


def _failure_columns(rows: Sequence[FailureRow]) -> list[str]:
    message, number, occurred, raw, participant, code, contact, series, *texts, subcode, trace, strikes = zip(
        *rows, strict=True
    )
    return [
        text_array(message),
        text_array(number),
        int_array(occurred),
        text_array(raw),
        text_array(participant),
        int_array(code),
        text_array(contact),
        int_array(series),
        *map(text_array, texts),
        int_array(subcode),
        text_array(trace),
        bool_array(strikes),
    ]


def _or_nothing(values: Sequence[str]) -> str:
    return text_array(values) if any(values) else "{}"


def series_ids(connection: DriverConnection, wanted: Sequence[Series]) -> dict[Series, int]:
    """The ids of these series, made where they are new, to be used today. Run outside the batch's transaction."""
    columns = [text_array(column) for column in zip(*sorted(wanted), strict=True)]
    source = "unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
    names = "phone_number_id, waba_id, template, campaign, country"
    connection.execute(
        f"INSERT INTO series AS s ({names}) SELECT * FROM {source} ON CONFLICT ({names})"
        " DO UPDATE SET seen_on = CURRENT_DATE WHERE s.seen_on < CURRENT_DATE",
        columns,
    )
    found = connection.execute(
        f"SELECT {names}, id FROM series JOIN {source} AS w({names}) USING ({names})", columns
    ).fetchall()
    return {tuple(row[:5]): row[5] for row in found}


def accounts_of(connection: DriverConnection, numbers: Iterable[str]) -> dict[str, str]:
    """The account of each business number, as its latest series has it; unknown ones are left out."""
    rows = connection.execute(
        "SELECT DISTINCT ON (phone_number_id) phone_number_id, waba_id FROM series"
        " WHERE phone_number_id = ANY(%s::text[]) AND waba_id <> '' ORDER BY phone_number_id, id DESC",
        [text_array(list(numbers))],
    )
    return {row[0]: row[1] for row in rows}


ClockKey = tuple[str, str, str, str, str, int]
"""message_id, phone_number_id, status (or 'inbound'), raw timestamp, participant, error code."""


def repair_clocks(connection: DriverConnection, keys: Sequence[ClockKey], occurred_at: datetime) -> None:
    """Give events without a usable time this one, unless an earlier delivery of the same event got another."""
    *texts, codes = zip(*sorted(keys), strict=True)
    connection.execute(
        "INSERT INTO clock_repairs (message_id, phone_number_id, status, raw_timestamp, participant, error_code,"
        " occurred_at) SELECT *, %s FROM"
        " unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING",
        [occurred_at, *map(text_array, texts), int_array(codes)],
    )
