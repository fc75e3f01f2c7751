"""Stages of messages (sent, delivered, read, failed): when each was first reached, and counts by minute and hour.

A message counts once per stage, at its first such event, so windows add up. `read` implies `delivered`; a failure that
only a send call shows is no delivery report. A message has the greatest series, category and pricing that its events
name. Times only become earlier and names greater, so order and repetition of events do not matter. `request_recount` is
for events that are reassigned, deleted or replayed. A message's key is a keyed hash of its id and number.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from webhook_app.rules.counts.outcome_measures import LIVE_WITHIN
from webhook_app.store.counts.messages import outcome_counts, settled
from webhook_app.store.counts.slots import CORRECTIONS_SLOT
from webhook_app.store.counts.webhook_counts import FROM_WEBHOOK
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver

Message = tuple[str, str]
"""message_id, phone_number_id."""

_KEY = "keyed_hash({}, {})"
_STAGES = ("sent", "delivered", "read", "failed")

_TIMES = (*(f"{stage}_at" for stage in _STAGES), "call_failed_at")
_FIELDS = ("series_id", "category", "pricing", "sent_live", *_TIMES)
_NEW = ", ".join(_FIELDS)
_OLD = ", ".join(f"was_{name}" for name in _FIELDS)
_COUNTS = (*_STAGES, *outcome_counts.COLUMNS)
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _COUNTS)
_ANY = " OR ".join(f"sum({name}) <> 0" for name in _COUNTS)


def _count_rows(prefix: str, sign: int) -> str:
    """SQL: one row of counts per stage of a message."""
    return ", ".join(f"({', '.join(_count_row(stage, prefix, sign))})" for stage in _STAGES)


def _count_row(stage: str, prefix: str, sign: int) -> list[str]:
    reached = [str(sign * (stage == each)) for each in _STAGES]
    zeros = ["0"]
    sent = (
        outcome_counts.sent_values(prefix, sign) if stage == "sent" else zeros * len(outcome_counts.OF_SENT)
    )
    delivered = (
        outcome_counts.delivered_values(prefix, sign)
        if stage == "delivered"
        else zeros * len(outcome_counts.OF_DELIVERED)
    )
    at = f"{prefix}{stage}_at"
    return [
        f"least({at}, {prefix}call_failed_at)" if stage == "failed" else at,
        f"{prefix}series_id",
        f"{prefix}category",
        f"{prefix}pricing",
        *reached,
        *sent,
        *delivered,
    ]


NEW_STAGES = f"""
new_stages AS MATERIALIZED (
  SELECT {_KEY.format("message_id", "phone_number_id")} AS message, max(series_id) AS series_id,
         max(category) AS category, max(pricing) AS pricing,
         coalesce(bool_or(received_at < occurred_at + interval '{int(LIVE_WITHIN.total_seconds())} seconds')
                    FILTER (WHERE status = 'sent'), FALSE) AS sent_live,
         min(occurred_at) FILTER (WHERE status = 'sent') AS sent_at,
         min(occurred_at) FILTER (WHERE status IN ('delivered', 'read', 'played')) AS delivered_at,
         min(occurred_at) FILTER (WHERE status IN ('read', 'played')) AS read_at,
         min(occurred_at) FILTER (WHERE status = 'failed' AND NOT of_call) AS failed_at,
         min(occurred_at) FILTER (WHERE of_call) AS call_failed_at, max(occurred_at) AS last_at
  FROM (SELECT *, CASE WHEN status = 'failed' THEN NOT {FROM_WEBHOOK} ELSE FALSE END AS of_call FROM status_events e
        WHERE {{which}} AND status IN ('sent', 'delivered', 'read', 'played', 'failed') OFFSET 0) AS e
  GROUP BY 1
), merged AS MATERIALIZED (
  SELECT n.message, n.sent_at AS new_sent_at,
         least(n.failed_at, n.call_failed_at) AS new_failed_at,
         h.series_id AS was_series_id, h.category AS was_category,
         h.pricing AS was_pricing, h.sent_live AS was_sent_live,
         {", ".join(f"h.{time} AS was_{time}" for time in _TIMES)}, h.last_at AS was_last_at,
         greatest(h.series_id, n.series_id) AS series_id, greatest(h.category, n.category) AS category,
         greatest(h.pricing, n.pricing) AS pricing,
         coalesce(h.sent_live, FALSE) OR n.sent_live AS sent_live,
         {", ".join(f"least(h.{time}, n.{time}) AS {time}" for time in _TIMES)},
         greatest(h.last_at, n.last_at) AS last_at
  FROM new_stages n LEFT JOIN message_stages h USING (message)
), changed AS MATERIALIZED (
  SELECT * FROM merged WHERE ({_NEW}, last_at) IS DISTINCT FROM ({_OLD}, was_last_at)
)"""
"""SQL: the stages that the events `which` add to their messages, merged with the stored ones."""

DELTAS = f"""
deltas AS (
  SELECT d.* FROM changed CROSS JOIN LATERAL (VALUES {_count_rows("changed.", 1)}, {_count_rows("changed.was_", -1)})
    AS d(at, series_id, category, pricing, {", ".join(_COUNTS)})
  WHERE d.at IS NOT NULL
)"""
"""SQL: how the changed messages change the counts, by time."""

RECEIVED = "received_at >= :since"
"""SQL for `which`: the events received since `counted_until`, which may not be counted."""

_ADD = f"""
INSERT INTO stage_counts AS c (unit, at, series_id, category, pricing, {", ".join(_COUNTS)})
SELECT unit, date_trunc(CASE unit WHEN 60 THEN 'hour' ELSE 'minute' END, at) AS at, series_id, category, pricing,
       {_SUMS}
FROM deltas CROSS JOIN (VALUES (1), (60)) AS u(unit)
GROUP BY 1, 2, 3, 4, 5 HAVING {_ANY} ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (unit, at, series_id, category, pricing) DO UPDATE SET
  {", ".join(f"{name} = c.{name} + excluded.{name}" for name in _COUNTS)}
"""
_EXTEND = f"""
WITH {NEW_STAGES}, {DELTAS}, written AS (
  INSERT INTO message_stages (message, {_NEW}, last_at)
  SELECT message, {_NEW}, last_at FROM changed
  ON CONFLICT (message) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in (*_NEW.split(", "), "last_at"))}
), added AS ({_ADD})
SELECT (SELECT count(*) FROM new_stages) AS messages,
       ARRAY(SELECT message FROM merged WHERE was_sent_at < :settled_before
             AND (new_sent_at > was_sent_at OR new_failed_at IS NOT NULL)) AS attempted
"""
_BETWEEN = text(_EXTEND.format(which=f"{RECEIVED} AND received_at < :until"))
_OF_MESSAGES = text(
    _EXTEND.format(
        which="keyed_hash(message_id) = ANY(ARRAY(SELECT keyed_hash(i)"
        " FROM unnest(CAST(:ids AS text[])) AS i)) AND (message_id, phone_number_id)"
        " IN (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS text[])))"
    )
)
_DELETE = text(f"""
WITH gone AS (
  DELETE FROM message_stages WHERE message = ANY(ARRAY(
    SELECT {_KEY.format("i", "n")} FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS text[])) AS m(i, n)))
  RETURNING *
), deltas AS (
  SELECT d.* FROM gone CROSS JOIN LATERAL (VALUES {_count_rows("gone.", -1)})
    AS d(at, series_id, category, pricing, {", ".join(_COUNTS)})
  WHERE d.at IS NOT NULL
)
{_ADD}
""")
_SPAN = text(f"""
SELECT min(least({", ".join(f"h.{time}" for time in _TIMES)})), max(h.last_at), bool_or(m.failed_at IS NOT NULL),
       (SELECT counted_until FROM stage_progress), EXISTS (SELECT FROM stage_recounts)
FROM messages m LEFT JOIN message_stages h ON h.message = {_KEY.format("m.message_id", "m.phone_number_id")}
WHERE m.message_id = :message_id HAVING count(*) = count(h.message)
""")
_COUNTED_UNTIL = text("SELECT counted_until FROM stage_progress")
_ADD_PROGRESS = text("INSERT INTO stage_progress DEFAULT VALUES ON CONFLICT DO NOTHING")
_LOCK_PROGRESS = text("SELECT counted_until FROM stage_progress FOR UPDATE")
_SET_COUNTED_UNTIL = text("UPDATE stage_progress SET counted_until = :until")
_FIRST_RECEIVED = text("SELECT min(received_at) FROM status_events WHERE occurred_at < :before")
_MAX_LAG = timedelta(minutes=10)
_MARGIN, _RECENT = timedelta(hours=1), timedelta(days=1)
_TAKE_REQUESTS = text("""
DELETE FROM stage_recounts WHERE id = ANY(ARRAY(SELECT id FROM stage_recounts ORDER BY id LIMIT :limit))
RETURNING message_id, phone_number_id
""")
# In the driver's form, because it runs in the transaction of the ingest statement.
_REQUEST = """
INSERT INTO stage_recounts (message_id, phone_number_id)
SELECT DISTINCT * FROM unnest(%s::text[], %s::text[])
"""
_RENAME = text(f"""
UPDATE message_stages SET message = {_KEY.format("i.new", "e.phone_number_id")}
FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS i(old, new)
JOIN (SELECT DISTINCT message_id, phone_number_id FROM status_events
      WHERE keyed_hash(message_id) = ANY(ARRAY(SELECT keyed_hash(n)
                                                        FROM unnest(CAST(:new AS text[])) AS n))
        AND message_id = ANY(:new)) AS e ON e.message_id = i.new
WHERE message = {_KEY.format("i.old", "e.phone_number_id")}
""")
_RENAME_REQUESTS = text("""
UPDATE stage_recounts SET message_id = i.new
FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS i(old, new) WHERE message_id = i.old
""")


SETTLED = timedelta(minutes=2)
"""Longer than a commit may take, including its retries: `counted_until` is so much before the last counting."""


def counted_until(connection: Connection) -> datetime | None:
    """The time of receipt up to which events are counted; None if nothing is counted yet."""
    found: datetime | None = connection.execute(_COUNTED_UNTIL).scalar()
    return found


class MessageSpan(NamedTuple):
    """A message's events occurred from `first` to `last`, or since `recent`. `failed`: at least one is a failure."""

    first: datetime
    last: datetime
    recent: datetime
    failed: bool


def message_span(connection: Connection, message_id: str, now: datetime) -> MessageSpan | None:
    """The time span that holds a message's events; None if events may be missing in it, because counting lags.

    The last day always belongs to the span. An older event that arrives now, more than an hour from the known ones,
    is in the span once it is counted, which takes about three minutes.
    """
    for first, last, failed, until, recounts_wait in connection.execute(_SPAN, {"message_id": message_id}):
        if first and until and until > now - _MAX_LAG and not recounts_wait:
            return MessageSpan(first - _MARGIN, last + _MARGIN, until - _RECENT, failed)
    return None


def first_received(connection: Connection, before: datetime) -> datetime | None:
    """The earliest time of receipt among the events that occurred before `before`."""
    found: datetime | None = connection.execute(_FIRST_RECEIVED, {"before": before}).scalar()
    return found


def lock_progress(connection: Connection) -> datetime | None:
    """Return `counted_until`, and keep other transactions from counting until this one ends."""
    connection.execute(_ADD_PROGRESS)
    until: datetime | None = connection.execute(_LOCK_PROGRESS).scalar_one()
    return until


def set_counted_until(connection: Connection, until: datetime) -> None:
    """Record that events received before `until` are counted."""
    connection.execute(_SET_COUNTED_UNTIL, {"until": until})


def count_received(connection: Connection, since: datetime, until: datetime) -> int:
    """Count the events received from `since` to before `until`; returns the number of their messages.

    A message that was settled is restored when it is sent again, or fails.
    """
    values = {"since": since, "until": until, "settled_before": until - settled.OLD_AFTER}
    row = connection.execute(_BETWEEN, values).one()
    if row.attempted:
        settled.restore_attempted(connection, row.attempted, since, until, slot=CORRECTIONS_SLOT)
    return int(row.messages)


def request_recount(connection: DriverConnection, messages: Iterable[Message]) -> None:
    """Queue these messages to be counted again from all their events. Takes no lock."""
    if wanted := sorted(set(messages)):
        connection.execute(_REQUEST, [text_array(column) for column in zip(*wanted, strict=True)])


def process_recounts(connection: Connection, limit: int) -> int:
    """Count up to `limit` queued messages again; returns how many requests were processed."""
    taken = [tuple(row) for row in connection.execute(_TAKE_REQUESTS, {"limit": limit})]
    if taken:
        ids, numbers = zip(*set(taken), strict=True)
        settled.restore(driver(connection), ids, slot=CORRECTIONS_SLOT)
        values = {"ids": list(ids), "numbers": list(numbers)}
        connection.execute(_DELETE, values)
        connection.execute(_OF_MESSAGES, values | {"settled_before": None})
    return len(taken)


def rename_messages(connection: Connection, ids: Mapping[str, str]) -> int:
    """Move stages to the new ids of messages; returns how many queued recounts were renamed too.

    Waits for a concurrent counting transaction, which could otherwise store the old ids afterwards.
    """
    lock_progress(connection)
    values = {"old": list(ids), "new": list(ids.values())}
    connection.execute(_RENAME, values)
    return int(connection.execute(_RENAME_REQUESTS, values).rowcount)
