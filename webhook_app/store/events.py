"""The ingest statement: one round trip that de-duplicates, counts, archives and books a batch of deliveries.

Rows are sorted by their unique key, so that two batches cannot deadlock. Everything derived comes from the rows
the de-duplicating insert returned. Columns travel as array literals: one text parameter per column.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import Struct

from webhook_app.whatsapp.events import StatusEvent

Connection = psycopg.Connection[Any]
Series = tuple[str, str, str, str, str]
"""phone_number_id, waba_id, template, campaign, country."""


class StatusRow(Struct, gc=False):
    """A status event with what the store adds: its time in Unix seconds and its series."""

    event: StatusEvent
    occurred: int
    plain_time: bool
    """Whether Meta's timestamp was usable and written as plain digits, so that `occurred` says it all."""
    series_id: int
    strikes: bool
    """Whether its code can count against the contact: then pipeline/suppress must look at it."""


class Booking(Struct, frozen=True, gc=False):
    """Items of a batch that are not status events, already sorted into the books' columns."""

    received: int = 0
    ignored: int = 0


_INSERT = """
WITH input AS (
  SELECT i.message_id, i.phone_number_id, i.status, coalesce(r.occurred_at, to_timestamp(i.occurred)) AS occurred_at,
         coalesce(i.participant, '') AS participant, coalesce(i.error_code, -1) AS error_code, i.contact, i.series_id,
         coalesce(i.category, '') AS category, coalesce(i.callback_data, '') AS callback_data,
         r.occurred_at IS NOT NULL AS replaced
  FROM unnest(%(message_id)s::text[], %(phone_number_id)s::text[], %(status)s::text[], %(occurred)s::bigint[],
              %(raw_timestamp)s::text[], %(participant)s::text[], %(error_code)s::bigint[], %(contact)s::text[],
              %(series_id)s::int[], %(category)s::text[], %(callback_data)s::text[])
    AS i(message_id, phone_number_id, status, occurred, raw_timestamp, participant, error_code, contact,
         series_id, category, callback_data)
  LEFT JOIN clock_repairs r
    ON (r.message_id, r.phone_number_id, r.status, r.raw_timestamp, r.participant, r.error_code)
     = (i.message_id, i.phone_number_id, i.status, coalesce(i.raw_timestamp, i.occurred::text),
        coalesce(i.participant, ''), coalesce(i.error_code, -1))
), new_events AS (
  INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
                             series_id, category, callback_data, clock_replaced, received_at)
  SELECT message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
         series_id, category, callback_data, replaced, %(received_at)s
  FROM input
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, status, occurred_at, participant, error_code, contact, series_id
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
  SELECT minute, series_id, %(slot)s, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
  FROM deltas GROUP BY minute, series_id ORDER BY minute, series_id
  ON CONFLICT (minute, series_id, slot) DO UPDATE SET
    attempts = c.attempts + excluded.attempts, sent = c.sent + excluded.sent,
    delivered = c.delivered + excluded.delivered, read = c.read + excluded.read, failed = c.failed + excluded.failed
), archived AS (
  INSERT INTO deliveries (received_at, body)
  SELECT %(received_at)s, substr(%(bodies)s::bytea, p.start, p.length)
  FROM unnest(%(starts)s::int[], %(lengths)s::int[]) AS p(start, length)
), booked AS (
  INSERT INTO books AS b (day, slot, received, applied, duplicate, ignored)
  SELECT %(received_at)s::timestamptz::date, %(slot)s, %(received)s, n.applied, %(offered)s - n.applied, %(ignored)s
  FROM (SELECT count(*) AS applied FROM new_events) n
  ON CONFLICT (day, slot) DO UPDATE SET
    received = b.received + excluded.received, applied = b.applied + excluded.applied,
    duplicate = b.duplicate + excluded.duplicate, ignored = b.ignored + excluded.ignored
){extra}
SELECT count(*) FROM new_events
"""

_FAILURES = """, failed AS (
  INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                        title, details, errors, received_at, considered_at)
  SELECT e.message_id, e.phone_number_id, e.occurred_at, e.participant, e.error_code, e.contact, e.series_id,
         f.title, f.details, nullif(f.errors, '')::jsonb, %(received_at)s,
         CASE WHEN f.strikes AND e.contact <> '' THEN NULL ELSE %(received_at)s::timestamptz END
  FROM unnest(%(f_message_id)s::text[], %(f_phone_number_id)s::text[], %(f_raw_timestamp)s::text[],
              %(f_occurred)s::bigint[], %(f_participant)s::text[], %(f_error_code)s::bigint[], %(f_title)s::text[],
              %(f_details)s::text[], %(f_errors)s::text[], %(f_strikes)s::bool[])
    AS f(message_id, phone_number_id, raw_timestamp, occurred, participant, error_code, title, details, errors, strikes)
  LEFT JOIN clock_repairs r ON (r.message_id, r.phone_number_id, r.status, r.raw_timestamp, r.participant, r.error_code)
    = (f.message_id, f.phone_number_id, 'failed', f.raw_timestamp, f.participant, f.error_code)
  JOIN new_events e ON (e.message_id, e.phone_number_id, e.status, e.occurred_at, e.participant, e.error_code)
    = (f.message_id, f.phone_number_id, 'failed', coalesce(r.occurred_at, to_timestamp(f.occurred)), f.participant,
       f.error_code)
  ON CONFLICT DO NOTHING
)"""

_LINKS = """, linked AS (
  INSERT INTO contact_links (user_id, contact)
  SELECT user_id, contact FROM unnest(%(l_user_id)s::text[], %(l_contact)s::text[]) AS l(user_id, contact)
  ON CONFLICT DO NOTHING
)"""

_REACHED = """, reached AS (
  INSERT INTO successes (contact, phone_number_id, what, message_id, occurred_at)
  SELECT DISTINCT s.contact, k.phone_number_id, k.what, k.message_id, to_timestamp(k.occurred)
  FROM unnest(%(k_contact)s::text[], %(k_phone_number_id)s::text[], %(k_what)s::text[], %(k_message_id)s::text[],
              %(k_occurred)s::bigint[]) AS k(contact, phone_number_id, what, message_id, occurred)
  JOIN suppressions s ON s.contact = k.contact
)"""


def insert_statuses(
    connection: Connection,
    rows: Sequence[StatusRow],
    *,
    bodies: Sequence[bytes],
    links: Sequence[tuple[str, str]],
    booking: Booking,
    received_at: datetime,
    slot: int,
) -> int:
    """Store a batch in one statement; returns how many of the status events were new."""
    rows = sorted(rows, key=_key)
    events = [row.event for row in rows]
    failed = [row for row in rows if row.event.status == "failed"]
    values: dict[str, Any] = {
        "message_id": text_array([e.message_id for e in events]),
        "phone_number_id": text_array([e.phone_number_id for e in events]),
        "status": text_array([e.status for e in events]),
        "occurred": int_array([row.occurred for row in rows]),
        "raw_timestamp": _unless(
            all(row.plain_time for row in rows), lambda: text_array([e.raw_timestamp for e in events])
        ),
        "participant": text_array(_some([e.participant for e in events])),
        "error_code": _unless(not failed, lambda: int_array([e.error_code for e in events])),
        "contact": text_array([e.contact for e in events]),
        "series_id": int_array([row.series_id for row in rows]),
        "category": text_array(_some([e.category for e in events])),
        "callback_data": text_array(_some([e.callback_data for e in events])),
        "received_at": received_at,
        "slot": slot,
        "received": booking.received + len(rows),
        "offered": len(rows),
        "ignored": booking.ignored,
        "bodies": b"".join(bodies),
    }
    values |= _slices(bodies)
    extra = ""
    if failed:
        extra += _FAILURES
        values |= _failure_columns(failed)
    if links:
        extra += _LINKS
        links = sorted(links)
        values["l_user_id"] = text_array([user_id for user_id, _ in links])
        values["l_contact"] = text_array([contact for _, contact in links])
    if reached := _reached_keys(rows):
        extra += _REACHED
        values |= reached
    cursor = connection.execute(_INSERT.replace("{extra}", extra), values, prepare=True)
    return int(cursor.fetchone()[0])  # type: ignore[index]  # an aggregate always has a row


def _some(values: list[str]) -> list[str]:
    """The column, or nothing when it is empty throughout: unnest pads with nulls, and the statement reads ''."""
    return values if any(values) else []


def _unless(empty: bool, make: Callable[[], str]) -> str:
    return "{}" if empty else make()


def _key(row: StatusRow) -> tuple[str, ...]:
    event = row.event
    return event.message_id, event.phone_number_id, event.status, event.raw_timestamp, event.participant


def _failure_columns(failed: Sequence[StatusRow]) -> dict[str, str]:
    events = [row.event for row in failed]
    return {
        "f_message_id": text_array([e.message_id for e in events]),
        "f_phone_number_id": text_array([e.phone_number_id for e in events]),
        "f_raw_timestamp": text_array([e.raw_timestamp for e in events]),
        "f_occurred": int_array([row.occurred for row in failed]),
        "f_participant": text_array([e.participant for e in events]),
        "f_error_code": int_array([e.error_code for e in events]),
        "f_title": text_array([e.error_title for e in events]),
        "f_details": text_array([e.error_details for e in events]),
        "f_errors": text_array([e.errors_json for e in events]),
        "f_strikes": bool_array([row.strikes for row in failed]),
    }


def _reached_keys(rows: Sequence[StatusRow]) -> dict[str, str]:
    """Every key under which somebody reached by these events may be suppressed."""
    keys = [
        (key, row.event.phone_number_id, row.event.status, row.event.message_id, row.occurred)
        for row in rows
        if row.event.status in ("delivered", "read", "played")
        for key in {row.event.contact, row.event.user_id, row.event.parent_user_id}
        if key
    ]
    if not keys:
        return {}
    contact, number, what, message, occurred = zip(*keys, strict=True)
    return {
        "k_contact": text_array(contact),
        "k_phone_number_id": text_array(number),
        "k_what": text_array(what),
        "k_message_id": text_array(message),
        "k_occurred": int_array(occurred),
    }


def _slices(bodies: Sequence[bytes]) -> dict[str, str]:
    lengths = [len(body) for body in bodies]
    starts, at = [], 1
    for length in lengths:
        starts.append(at)
        at += length
    return {"starts": int_array(starts), "lengths": int_array(lengths)}


def text_array(values: Sequence[str]) -> str:
    """A Postgres array literal of texts."""
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * max(len(values) - 1, 0):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return '{"' + joined + '"}' if values else "{}"


def int_array(values: Iterable[int]) -> str:
    """A Postgres array literal of integers."""
    return "{" + ",".join(map(str, values)) + "}"


def bool_array(values: Iterable[bool]) -> str:
    """A Postgres array literal of booleans."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def series_ids(connection: Connection, wanted: Sequence[Series]) -> dict[Series, int]:
    """The ids of these series, made where they are new. Run outside the batch's transaction."""
    columns = [text_array(column) for column in zip(*sorted(wanted), strict=True)]
    source = "unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
    names = "phone_number_id, waba_id, template, campaign, country"
    connection.execute(f"INSERT INTO series ({names}) SELECT * FROM {source} ON CONFLICT DO NOTHING", columns)
    found = connection.execute(
        f"SELECT {names}, id FROM series JOIN {source} AS w({names}) USING ({names})", columns
    ).fetchall()
    return {tuple(row[:5]): row[5] for row in found}


ClockKey = tuple[str, str, str, str, str, int]
"""message_id, phone_number_id, status (or 'inbound'), raw timestamp, participant, error code."""


def repair_clocks(connection: Connection, keys: Sequence[ClockKey], occurred_at: datetime) -> None:
    """Give events without a usable time this one, unless an earlier delivery of the same event got another."""
    *texts, codes = zip(*sorted(keys), strict=True)
    connection.execute(
        "INSERT INTO clock_repairs (message_id, phone_number_id, status, raw_timestamp, participant, error_code,"
        " occurred_at) SELECT *, %s FROM"
        " unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING",
        [occurred_at, *map(text_array, texts), int_array(codes)],
    )
