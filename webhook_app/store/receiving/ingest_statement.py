"""The ingest statement: one round trip that de-duplicates, counts, archives and books a batch of deliveries.

Rows are sorted by their unique key, so that two batches cannot deadlock. Everything derived comes from the rows that
the de-duplicating insert returned. Uses the driver, because this is the hot path: prepared once, no objects per row,
one array literal per column; an empty column is sent as {} (unnest pads it with nulls).
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

import psycopg
from msgspec import Struct

from webhook_app.store.people.links import (
    BY_CONTACT,
    BY_USER,
    NUMBERS_CHANGED,
    LinkRow,
    link_ctes,
    queue_ctes,
)
from webhook_app.store.postgres.arrays import bool_array, int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.archive import pack
from webhook_app.store.receiving.clock_repairs import left_join_repair
from webhook_app.whatsapp.events import OTHER_CODE

StatusRow = tuple[str, str, str, int, str, str, int, str, int, str, int, str]
"""message_id, phone_number_id, status, occurred (Unix seconds), raw timestamp ('' if it is the same), participant,
error code, contact, series id, category, pricing, callback data. The identity of an event comes first: sorted as
tuples, the rows of two batches have the same order."""

FailureRow = tuple[str, str, int, str, str, int, str, int, str, str, str, str, int, str, bool]
"""message_id, phone_number_id, occurred, raw timestamp, participant, error code, contact, series id, title, details,
errors as JSON text, source, error subcode, fbtrace_id, and whether the code can count against the contact, so that
pipeline/suppressions/suppress must consider it."""

WEBHOOK, SEND = "webhook", "send"
"""The source of a failure. A webhook has no subcode and no trace."""


class Batch(Struct, gc=False):
    """The rows that one transaction stores. `ignored` items are only counted in the books.

    `bodies` None: not received now, so that nothing is archived or counted in the books. An empty list: received, and
    archived by another batch.
    """

    statuses: list[StatusRow]
    failures: list[FailureRow]
    links: list[LinkRow]
    """Links that this process has not stored before, or with a later time."""
    bodies: list[bytes] | None
    ignored: int
    other_codes: list[int] = []
    """Codes of failures that are counted as OTHER_CODE."""


_TIES = "s.template DESC, s.campaign DESC, s.country DESC, s.waba_id DESC"
"""SQL: which of the series of events in one second a message counts under; one with tags before one without."""
_REPAIR_OF_STATUS = left_join_repair(
    message_id="i.message_id",
    phone_number_id="i.phone_number_id",
    status="i.status",
    raw_timestamp="coalesce(nullif(i.raw_timestamp, ''), i.occurred::text)",
    participant="coalesce(i.participant, '')",
    error_code="coalesce(i.error_code, -1)",
)
_REPAIR_OF_FAILURE = left_join_repair(
    message_id="f.message_id",
    phone_number_id="f.phone_number_id",
    status="'failed'",
    raw_timestamp="coalesce(nullif(f.raw_timestamp, ''), f.occurred::text)",
    participant="f.participant",
    error_code="f.error_code",
)
_INSERT = f"""
new_events AS (
  INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, participant, error_code, contact,
                             series_id, category, pricing, callback_data, clock_replaced, received_at)
  SELECT i.message_id, i.phone_number_id, i.status, coalesce(r.occurred_at, to_timestamp(i.occurred)),
         coalesce(i.participant, ''), coalesce(i.error_code, -1), i.contact, i.series_id, coalesce(i.category, ''),
         coalesce(i.pricing, 0), coalesce(i.callback_data, ''), r.occurred_at IS NOT NULL, $1
  FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::text[],
              $10::int[], $11::text[], $12::smallint[], $13::text[])
    AS i(message_id, phone_number_id, status, occurred, raw_timestamp, participant, error_code, contact, series_id,
         category, pricing, callback_data)
  {_REPAIR_OF_STATUS}
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, status, occurred_at, contact, series_id
), attempted AS (
  INSERT INTO messages AS m (message_id, phone_number_id, contact, series_id, sent_at, failed_at)
  SELECT message_id, phone_number_id, max(contact),
         CASE WHEN min(series_id) = max(series_id) THEN min(series_id) ELSE (
           SELECT c.series_id
           FROM unnest(array_agg(series_id), array_agg(status), array_agg(occurred_at)) AS c(series_id, status, at)
           JOIN series s ON s.id = c.series_id ORDER BY c.status DESC, c.at, {_TIES} LIMIT 1) END,
         min(occurred_at) FILTER (WHERE status = 'sent'), min(occurred_at) FILTER (WHERE status = 'failed')
  FROM new_events WHERE status IN ('sent', 'failed')
  GROUP BY message_id, phone_number_id ORDER BY message_id, phone_number_id
  ON CONFLICT (message_id, phone_number_id) DO UPDATE SET
    was_at = coalesce(m.sent_at, m.failed_at), was_series_id = m.series_id,
    series_id = CASE WHEN coalesce(excluded.sent_at < m.sent_at, excluded.sent_at IS NOT NULL AND m.sent_at IS NULL,
                                   FALSE)
                       OR (m.sent_at IS NULL AND excluded.sent_at IS NULL AND excluded.failed_at < m.failed_at)
                     THEN excluded.series_id
                     WHEN excluded.series_id <> m.series_id
                       AND (excluded.sent_at = m.sent_at OR (m.sent_at IS NULL AND excluded.sent_at IS NULL
                                                             AND excluded.failed_at = m.failed_at))
                     THEN (SELECT s.id FROM series s WHERE s.id IN (excluded.series_id, m.series_id)
                           ORDER BY {_TIES} LIMIT 1)
                     ELSE m.series_id END,
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
  SELECT minute, series_id, $14, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
  FROM deltas GROUP BY minute, series_id ORDER BY minute, series_id
  ON CONFLICT (minute, series_id, slot) DO UPDATE SET
    attempts = c.attempts + excluded.attempts, sent = c.sent + excluded.sent,
    delivered = c.delivered + excluded.delivered, read = c.read + excluded.read, failed = c.failed + excluded.failed
), archived AS (
  INSERT INTO deliveries (received_at, body, packed) SELECT $1, $18, true WHERE $18::bytea <> ''
), booked AS (
  INSERT INTO books AS b (day, slot, received, applied, duplicate, ignored)
  SELECT $1::timestamptz::date, $14, $19::int + $20::int, n.applied, $19::int - n.applied, $20::int
  FROM (SELECT count(*) AS applied FROM new_events) n WHERE $18::bytea IS NOT NULL
  ON CONFLICT (day, slot) DO UPDATE SET
    received = b.received + excluded.received, applied = b.applied + excluded.applied,
    duplicate = b.duplicate + excluded.duplicate, ignored = b.ignored + excluded.ignored
)
"""

# Many batches show no new link; a statement without these parts costs less.
_LINKS = link_ctes("unnest($15::text[], $16::text[], $17::bigint[]) AS l(user_id, contact, at)")
_NO_LINKS = """linked (user_id, contact) AS (
  SELECT NULL::text, NULL::text WHERE $15::text[] IS NULL AND $16::text[] IS NULL AND $17::bigint[] IS NULL
)"""


def _suppressed(key: str) -> str:
    return f"EXISTS (SELECT FROM suppressions s WHERE s.contact = {key} OFFSET 0)"


# Never null: what follows a null in a conjunction would be evaluated.
_NUMBERS_CHANGED = (
    f"coalesce({NUMBERS_CHANGED}, FALSE)"  # user_id holds a number only after a change of number
)
_USER_SUPPRESSED = (
    "coalesce((SELECT max(contact) FROM suppressions) >= 'A', FALSE)"  # user ids begin with a letter
)
_BY_USER = BY_USER.format(key="e.contact")
_UNDER_OTHER_KEYS = f"""(
      (e.contact >= 'A' OR {_NUMBERS_CHANGED})
      AND EXISTS (SELECT FROM {_BY_USER} AS k WHERE {_suppressed("k.key")})
    ) OR (  -- of a user id whose person went to another number
      e.contact >= 'A' AND {_NUMBERS_CHANGED}
      AND EXISTS (SELECT FROM {_BY_USER} AS k CROSS JOIN LATERAL {BY_USER.format(key="k.key")} AS m
                  WHERE {_suppressed("m.key")})
    ) OR (
      ({_USER_SUPPRESSED} OR {_NUMBERS_CHANGED})
      AND EXISTS (SELECT FROM {BY_CONTACT.format(key="e.contact")} AS k WHERE {_suppressed("k.key")})
    )"""
_BY_NEW_LINK = "e.contact IN (SELECT contact FROM concerned UNION ALL SELECT user_id FROM concerned)"


def _queued(*alternatives: str) -> str:
    """SQL: deliveries to whom an alternative holds are left to the job `suppress`. By index lookups only."""
    return f""", other_keys (used) AS (
  SELECT {_USER_SUPPRESSED} OR {_NUMBERS_CHANGED}
), queued AS (
  INSERT INTO successes (contact, phone_number_id, what, message_id, occurred_at)
  SELECT DISTINCT e.contact, e.phone_number_id, e.status, e.message_id, e.occurred_at
  FROM new_events e
  WHERE e.status IN ('delivered', 'read', 'played')
    AND ({_suppressed("e.contact")} OR {" OR ".join(alternatives)})
)"""


_CHANGED_HANDS = f"""{NUMBERS_CHANGED}
    AND (EXISTS (SELECT FROM number_changes c WHERE c.old_contact = l.contact OFFSET 0)
      OR EXISTS (SELECT FROM number_changes c WHERE c.new_contact = l.contact OFFSET 0))"""
_RESULT = (
    "\nSELECT (SELECT count(*) FROM new_events), EXISTS (SELECT FROM sends), (SELECT used FROM other_keys)"
)
_CONCERNED = f""", concerned AS (
  SELECT l.contact, l.user_id FROM linked l
  WHERE l.is_new AND {_suppressed("l.contact")} OR l.is_new AND {_suppressed("l.user_id")} OR ({_CHANGED_HANDS})
)"""
# In the queue of the job from the same commit on: a writer that ends before it has applied them leaves them there.
_RESULT_OF_LINKS = f", {queue_ctes('concerned')}{_RESULT}, ARRAY(SELECT contact FROM concerned)"

_FAILURES = f""", failed AS (  -- de-duplicated by its own unique key, as status_events are
  INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                        title, details, errors, source, error_subcode, fbtrace_id, received_at, considered_at,
                        counted_code)
  SELECT f.message_id, f.phone_number_id, coalesce(r.occurred_at, to_timestamp(f.occurred)), f.participant,
         f.error_code, f.contact, f.series_id, f.title, f.details, nullif(f.errors, '')::jsonb,
         f.source, f.subcode, f.trace, $1,
         CASE WHEN f.counts AND f.contact <> '' THEN NULL ELSE $1::timestamptz END,
         CASE WHEN f.error_code = ANY($36::bigint[]) THEN {OTHER_CODE} END
  FROM unnest($21::text[], $22::text[], $23::bigint[], $24::text[], $25::text[], $26::bigint[], $27::text[],
              $28::int[], $29::text[], $30::text[], $31::text[], $32::text[],
              $33::bigint[], $34::text[], $35::bool[])
    AS f(message_id, phone_number_id, occurred, raw_timestamp, participant, error_code, contact, series_id,
         title, details, errors, source, subcode, trace, counts)
  {_REPAIR_OF_FAILURE}
  WHERE (SELECT count(*) FROM attempted) >= 0  -- messages are locked before their failures, as merges lock them
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, occurred_at, coalesce(counted_code, error_code) AS error_code, series_id
), failed_once AS (  -- a message with a single failure is counted in that minute; others are counted when read
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
  SELECT minute, series_id, error_code, $14, sum(messages) FROM failed_once WHERE messages <> 0
  GROUP BY minute, series_id, error_code ORDER BY minute, series_id, error_code
  ON CONFLICT (minute, series_id, error_code, slot) DO UPDATE SET failures = c.failures + excluded.failures
)"""


def _statement(*, links: bool, other_keys: bool, failures: bool) -> str:
    events = f"{_LINKS if links else _NO_LINKS}, {_INSERT.strip()}{_FAILURES if failures else ''}"
    # No links are read while only a contact's own key can be suppressed. The first batch that finds there may be others
    # leaves all of its deliveries to the job.
    others = _UNDER_OTHER_KEYS if other_keys else "(SELECT used FROM other_keys)"
    if links:
        return f"WITH {events}{_CONCERNED}{_queued(others, _BY_NEW_LINK)}{_RESULT_OF_LINKS}"
    return f"WITH {events}{_queued(others)}{_RESULT}"


_STATEMENTS = {
    which: _statement(links=which[0], other_keys=which[1], failures=which[2])
    for which in product((False, True), repeat=3)
}


class Stored(NamedTuple):
    """What a batch changed."""

    new: int
    """The number of new status events."""
    sends_are_used: bool
    """Whether any sends were reported before it."""
    other_keys: bool
    """Whether suppressions may be under other keys than the contacts of webhooks: user ids, or changed numbers."""
    concerned: Sequence[str] = ()
    """Contacts with a new link that may decide whose a suppression is; numbers that changed hands, with an earlier
    time of one, too. They are in the queue of the job `suppress`."""


def insert_batch(
    connection: DriverConnection, batch: Batch, *, received_at: datetime, slot: int, other_keys: bool = True
) -> Stored:
    """Store a batch in one statement. `other_keys`: False as long as no `Stored` said otherwise, which costs less."""
    statuses = sorted(batch.statuses)
    other_keys = other_keys or any(row[7] >= "A" for row in statuses)
    values: list[Any] = [
        received_at,
        *_status_columns(statuses),
        slot,
        *_link_columns(sorted(batch.links)),
        pack(batch.bodies) if batch.bodies else None if batch.bodies is None else b"",
        len(statuses),
        batch.ignored,
    ]
    if batch.failures:
        values += [*_failure_columns(sorted(batch.failures)), int_array(batch.other_codes)]
    cursor = psycopg.RawCursor(connection)
    statement = _STATEMENTS[bool(batch.links), other_keys, bool(batch.failures)]
    row = cursor.execute(statement, values, prepare=True).fetchone()
    assert row is not None  # noqa: S101  a SELECT without FROM always has a row
    return Stored(*row)


def _link_columns(rows: Sequence[LinkRow]) -> list[str]:
    if not rows:
        return ["{}"] * 3
    users, contacts, times = zip(*rows, strict=True)
    return [text_array(users), text_array(contacts), int_array(times)]


def _status_columns(rows: Sequence[StatusRow]) -> list[str]:
    if not rows:
        return ["{}"] * 12
    message, number, status, occurred, raw, participant, code, contact, series, *described = zip(
        *rows, strict=True
    )
    category, pricing, callback = described
    return [
        text_array(message),
        text_array(number),
        text_array(status),
        int_array(occurred),
        _sparse_array(raw),
        _sparse_array(participant),
        int_array(code) if "failed" in status else "{}",
        text_array(contact),
        int_array(series),
        _sparse_array(category),
        int_array(pricing) if any(pricing) else "{}",
        _sparse_array(callback),
    ]


def _failure_columns(rows: Sequence[FailureRow]) -> list[str]:
    message, number, occurred, raw, participant, code, contact, series, *texts, subcode, trace, counts = zip(
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
        bool_array(counts),
    ]


def _sparse_array(values: Sequence[str]) -> str:
    return text_array(values) if any(values) else "{}"
