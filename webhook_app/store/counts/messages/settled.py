"""Settled messages: a message that has been finished for days has one row, instead of its events and its attempt.

Only ordinary messages are settled: sent once, delivered and read at most once, all events counted and alike. The view
`settled_events` has their events, and `restore` stores them as events again before something changes the message.
A later `delivered`, `read` or `played` status needs no restoring: it is a further event.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver

OLD_AFTER = timedelta(days=9)
"""An event from longer ago may be one of a settled message. A day less than SETTLED_AFTER, because clocks differ."""

SETTLED_AFTER = timedelta(days=10)
"""A message without an event for so long is settled. Meta repeats webhooks for up to seven days."""

UNDELIVERED_AFTER = timedelta(days=31)
"""A message that was only sent is settled later: Meta tries to deliver it for up to 30 days."""

_COLUMNS = (
    "message_id, phone_number_id, status, occurred_at, participant, error_code, contact, series_id, category,"
    " callback_data, clock_replaced, received_at, pricing"
)
_SETTLED_COLUMNS = (
    "message_id, phone_number_id, contact, series_id, sent_at, delivered_at, read_at, sent_received_at,"
    " delivered_received_at, read_received_at, category, callback_data, pricing, lacks"
)
LACKING_BITS = {"sent": 1, "delivered": 8, "read": 64}
"""Of each status the bit in `lacks` that says that its event has no category. The view settled_events (migration 0045)
has the same bits; a test compares them."""
LACKING = {"category": "''", "pricing": "0", "callback_data": "''"}
"""The values that an event can lack, as stored, in the order of the bits."""


def _of(status: str, value: str) -> str:
    return f"min({value}) FILTER (WHERE status = '{status}')"


_LACKS = " + ".join(
    f"CASE WHEN bool_or(e.status = '{status}' AND e.{column} = {empty}) THEN {bit << shift} ELSE 0 END"
    for status, bit in LACKING_BITS.items()
    for shift, (column, empty) in enumerate(LACKING.items())
)
_SAME_ID = """keyed_hash({0}.message_id) = keyed_hash({1}.message_id) AND {0}.message_id = {1}.message_id
      AND {0}.phone_number_id = {1}.phone_number_id"""
# An event that is not counted yet would be lost for the counts: so what the stages say must be all there is.
_SETTLE = f"""
WITH due AS MATERIALIZED (
  SELECT s.message_id, s.phone_number_id, h.sent_at, h.last_at, h.delivered_at, h.read_at, h.series_id, h.category,
         h.pricing
  FROM {{events}} s JOIN message_stages h ON h.message = keyed_hash(s.message_id, s.phone_number_id)
  WHERE s.ctid >= CAST(:first AS tid) AND s.ctid < CAST(:next AS tid)
    AND s.status = 'sent' AND s.participant = '' AND s.contact <> ''
    AND h.sent_at = s.occurred_at AND h.failed_at IS NULL AND h.call_failed_at IS NULL AND h.last_at < :before
    AND (h.delivered_at >= h.sent_at OR (h.delivered_at IS NULL AND h.last_at < :undelivered_before))
), regular AS MATERIALIZED (
  SELECT d.message_id, d.phone_number_id, max(e.contact) AS contact, max(e.series_id) AS series_id,
         {_of("sent", "occurred_at")} AS sent_at, {_of("delivered", "occurred_at")} AS delivered_at,
         {_of("read", "occurred_at")} AS read_at, {_of("sent", "received_at")} AS sent_received_at,
         {_of("delivered", "received_at")} AS delivered_received_at, {_of("read", "received_at")} AS read_received_at,
         max(e.category) AS category, max(e.callback_data) AS callback_data, max(e.pricing) AS pricing,
         {_LACKS} AS lacks, count(*) AS events, max(d.last_at) AS last_at
  FROM due d
  CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM status_events e
                      WHERE {_SAME_ID.format("e", "d")} AND e.occurred_at BETWEEN d.sent_at AND d.last_at OFFSET 0) e
  GROUP BY d.message_id, d.phone_number_id
  HAVING count(*) FILTER (WHERE status = 'sent') = 1 AND count(*) FILTER (WHERE status = 'delivered') <= 1
    AND count(*) FILTER (WHERE status = 'read') <= 1
    AND bool_and(status IN ('sent', 'delivered', 'read') AND participant = '' AND error_code = -1
                 AND NOT clock_replaced)
    AND min(e.contact) = max(e.contact) AND min(e.series_id) = max(e.series_id)
    AND coalesce(min(nullif(e.category, '')), '') = max(e.category)
    AND coalesce(min(nullif(e.callback_data, '')), '') = max(e.callback_data)
    AND coalesce(min(nullif(e.pricing, 0)), 0) = max(e.pricing)
    AND least({_of("delivered", "occurred_at")}, {_of("read", "occurred_at")}) IS NOT DISTINCT FROM max(d.delivered_at)
    AND {_of("read", "occurred_at")} IS NOT DISTINCT FROM max(d.read_at)
    AND (max(e.series_id), max(e.category), max(e.pricing)) = (max(d.series_id), max(d.category), max(d.pricing))
), attempts AS (
  DELETE FROM messages m USING regular r
  WHERE m.message_id = r.message_id AND m.phone_number_id = r.phone_number_id AND m.contact = r.contact
    AND m.series_id = r.series_id AND m.sent_at = r.sent_at AND m.failed_at IS NULL
  RETURNING m.message_id, m.phone_number_id
), settled AS MATERIALIZED (
  SELECT r.* FROM regular r JOIN attempts USING (message_id, phone_number_id)
), gone AS (
  DELETE FROM status_events e USING settled s
  WHERE {_SAME_ID.format("e", "s")} AND e.occurred_at BETWEEN s.sent_at AND s.last_at
  RETURNING e.status
), stored AS (
  INSERT INTO settled_messages ({_SETTLED_COLUMNS}) SELECT {_SETTLED_COLUMNS} FROM settled
)
SELECT (SELECT count(*) FROM settled) AS messages, (SELECT coalesce(sum(events), 0) FROM settled)::bigint AS events,
       (SELECT count(*) FROM gone) AS gone,
       pg_relation_size('{{events}}') / current_setting('block_size')::int AS pages
"""
_BY_ID = """keyed_hash({0}message_id) = ANY(ARRAY(SELECT keyed_hash(i) FROM unnest(%(ids)s::text[]) i))
    AND {0}message_id = ANY(%(ids)s::text[])"""
_FIND = f"SELECT message_id FROM settled_messages WHERE {_BY_ID.format('')}"
# An attempt that was stored meanwhile, for a failure or another `sent`, was counted at its own time.
_RESTORE = f"""
WITH found AS MATERIALIZED (
  SELECT {_COLUMNS} FROM settled_events m WHERE {_BY_ID.format("m.")}
), gone AS (
  DELETE FROM settled_messages m WHERE {_BY_ID.format("m.")}
  RETURNING m.message_id, m.phone_number_id, m.contact, m.series_id, m.sent_at
), events AS (
  INSERT INTO status_events ({_COLUMNS}) SELECT {_COLUMNS} FROM found ORDER BY message_id, phone_number_id, status
  ON CONFLICT DO NOTHING
), attempts AS (
  INSERT INTO messages AS m (message_id, phone_number_id, contact, series_id, sent_at)
  SELECT message_id, phone_number_id, contact, series_id, sent_at FROM gone ORDER BY message_id, phone_number_id
  ON CONFLICT (message_id, phone_number_id) DO UPDATE SET
    was_at = coalesce(m.sent_at, m.failed_at), was_series_id = m.series_id, series_id = excluded.series_id,
    sent_at = excluded.sent_at, contact = greatest(m.contact, excluded.contact)
  RETURNING was_at, was_series_id
), counted AS (
  INSERT INTO minute_counts AS c (minute, series_id, slot, attempts)
  SELECT date_trunc('minute', was_at), was_series_id, %(slot)s, -count(*)
  FROM attempts WHERE was_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (minute, series_id, slot) DO UPDATE SET attempts = c.attempts + excluded.attempts
)
SELECT count(*) FROM gone
"""
_ATTEMPTED = text("""
SELECT DISTINCT message_id FROM status_events
WHERE received_at >= :since AND received_at < :until AND status IN ('sent', 'failed')
  AND keyed_hash(message_id, phone_number_id) = ANY(:messages)
""")
_DAY = text("SELECT passes, page, bloated FROM settled_days WHERE day = :day")
_SAVE_DAY = text("""
INSERT INTO settled_days (day, passes, page, bloated) VALUES (:day, :passes, :page, :bloated)
ON CONFLICT (day) DO UPDATE SET passes = excluded.passes, page = excluded.page, bloated = excluded.bloated
""")
_PAGES = text("SELECT pg_relation_size(to_regclass(:name)) / current_setting('block_size')::int")
_AT_ONCE = 100
"""Pages of 8 kB, with some forty events each: few, because others wait for the lock meanwhile."""


class SettledDay(NamedTuple):
    """How far the events of a day are settled."""

    passes: int = 0
    """Finished passes over the day's events."""
    page: int | None = None
    """The page at which a pass goes on; None: none has begun."""
    bloated: bool = False
    """Whether the partition still holds the space of deleted events."""


class Settled(NamedTuple):
    """The result of a step: settled messages and their events, and the page to go on with, None after the last."""

    messages: int
    events: int
    next_page: int | None


def settle(connection: Connection, events: str, page: int, now: datetime) -> Settled:
    """Settle messages that were sent in some pages of the partition `events`. Holds the lock until the commit."""
    locks.hold_until_commit(connection, locks.SETTLE_LOCK)
    end = page + _AT_ONCE
    values = {
        "first": f"({page},0)",
        "next": f"({end},0)",
        "before": now - SETTLED_AFTER,
        "undelivered_before": now - UNDELIVERED_AFTER,
    }
    row = connection.execute(text(_SETTLE.format(events=events)), values).one()
    if row.events != row.gone:
        raise RuntimeError(f"{row.gone} events were deleted of {row.events} settled ones")
    return Settled(row.messages, row.events, end if end < row.pages else None)


def restore(connection: DriverConnection, message_ids: Collection[str], *, slot: int) -> int:
    """Store these messages as events and attempts again if they are settled; returns how many were.

    Runs in the caller's transaction, until the end of which they are not settled again.
    """
    locks.share_until_commit(connection, locks.SETTLE_LOCK)
    found = connection.execute(_FIND, {"ids": text_array(sorted(message_ids))}).fetchall()
    if not found:
        return 0
    ids = text_array(sorted({message_id for (message_id,) in found}))
    row = connection.execute(_RESTORE, {"ids": ids, "slot": slot}).fetchone()
    return int(row[0]) if row else 0


def restore_attempted(
    connection: Connection, messages: Collection[int], since: datetime, until: datetime, *, slot: int
) -> int:
    """Restore messages, given by their hashes, for which a `sent` or a failure was received in this time.

    Their attempt was counted twice until now.
    """
    values = {"messages": list(messages), "since": since, "until": until}
    ids = list(connection.execute(_ATTEMPTED, values).scalars())
    return restore(driver(connection), ids, slot=slot) if ids else 0


def progress(connection: Connection, day: date) -> SettledDay:
    """How far this day is settled."""
    row = connection.execute(_DAY, {"day": day}).one_or_none()
    return SettledDay(*row) if row else SettledDay()


def save_progress(connection: Connection, day: date, state: SettledDay) -> None:
    """Record how far this day is settled."""
    connection.execute(_SAVE_DAY, {"day": day, **state._asdict()})


def pages(connection: Connection, events: str) -> int:
    """The size of a partition of events in pages of 8 kB."""
    return int(connection.execute(_PAGES, {"name": events}).scalar_one())
