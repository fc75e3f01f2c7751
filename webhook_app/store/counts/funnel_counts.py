"""The first time each message took each step, and how many took it in each minute and hour: what funnels are read from.

A message takes a step once: at its first such event, whenever the others come. So every message counts once in every
window, whatever minutes and days its steps fall into, and windows add up. `read` implies `delivered`: the step
delivered is the first of either. A message is counted under one series and one category, the greatest its events name
(a category often comes with only some of them), whichever event came first.

Times only ever become earlier and names greater, so the order of events does not matter, and counting an event again
changes nothing. Events that were moved to another series, taken out, or stored under an old time of receipt are asked
for by `ask_recount`. Messages are told apart by 64 bits of their id, as in the key of status_events. Decides nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection

Message = tuple[str, str]
"""message_id, phone_number_id."""

_KEY = "hashtextextended({}, hashtext({}))"
_STEPS = ("sent", "delivered", "read", "failed")

_NOW = ", ".join(("series_id", "category", *(f"{step}_at" for step in _STEPS)))
_WAS = ", ".join(("was_series_id", "was_category", *(f"was_{step}_at" for step in _STEPS)))
_SUMS = ", ".join(f"sum({step}) AS {step}" for step in _STEPS)
_ANY = " OR ".join(f"sum({step}) <> 0" for step in _STEPS)


def _places(prefix: str, sign: int) -> str:
    """Where a message counts, a row per step."""
    names = f"{prefix}series_id, {prefix}category"
    return ", ".join(
        f"({prefix}{step}_at, {names}, " + ", ".join(str(sign * (step == each)) for each in _STEPS) + ")"
        for step in _STEPS
    )


TOLD = f"""
told AS MATERIALIZED (
  SELECT {_KEY.format("message_id", "phone_number_id")} AS message, max(series_id) AS series_id,
         max(category) AS category,
         min(occurred_at) FILTER (WHERE status = 'sent') AS sent_at,
         min(occurred_at) FILTER (WHERE status IN ('delivered', 'read', 'played')) AS delivered_at,
         min(occurred_at) FILTER (WHERE status IN ('read', 'played')) AS read_at,
         min(occurred_at) FILTER (WHERE status = 'failed') AS failed_at, max(occurred_at) AS last_at
  FROM status_events WHERE {{which}} AND status IN ('sent', 'delivered', 'read', 'played', 'failed')
  GROUP BY 1
), merged AS MATERIALIZED (
  SELECT t.message, h.series_id AS was_series_id, h.category AS was_category,
         {", ".join(f"h.{step}_at AS was_{step}_at" for step in _STEPS)}, h.last_at AS was_last_at,
         greatest(h.series_id, t.series_id) AS series_id, greatest(h.category, t.category) AS category,
         {", ".join(f"least(h.{step}_at, t.{step}_at) AS {step}_at" for step in _STEPS)},
         greatest(h.last_at, t.last_at) AS last_at
  FROM told t LEFT JOIN message_stages h USING (message)
), changed AS MATERIALIZED (
  SELECT * FROM merged WHERE ({_NOW}, last_at) IS DISTINCT FROM ({_WAS}, was_last_at)
)"""
"""What some events say of their messages, and with it what was known of them. Needs `which` events."""

DELTAS = f"""
deltas AS (
  SELECT d.* FROM changed CROSS JOIN LATERAL (VALUES {_places("changed.", 1)}, {_places("changed.was_", -1)})
    AS d(at, series_id, category, {", ".join(_STEPS)})
  WHERE d.at IS NOT NULL
)"""
"""What that changes in the counts, by the moment."""

RECEIVED = "received_at >= :since"
"""`which` events are not counted for certain: those received since `counted_until`."""

_ADD = f"""
INSERT INTO stage_counts AS c (unit, at, series_id, category, {", ".join(_STEPS)})
SELECT unit, date_trunc(CASE unit WHEN 60 THEN 'hour' ELSE 'minute' END, at) AS at, series_id, category, {_SUMS}
FROM deltas CROSS JOIN (VALUES (1), (60)) AS u(unit)
GROUP BY 1, 2, 3, 4 HAVING {_ANY} ORDER BY 1, 2, 3, 4
ON CONFLICT (unit, at, series_id, category) DO UPDATE SET
  {", ".join(f"{step} = c.{step} + excluded.{step}" for step in _STEPS)}
"""
_EXTEND = f"""
WITH {TOLD}, {DELTAS}, written AS (
  INSERT INTO message_stages (message, {_NOW}, last_at)
  SELECT message, {_NOW}, last_at FROM changed
  ON CONFLICT (message) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in (*_NOW.split(", "), "last_at"))}
), added AS ({_ADD})
SELECT count(*) FROM told
"""
_BETWEEN = text(_EXTEND.format(which=f"{RECEIVED} AND received_at < :until"))
_OF_MESSAGES = text(
    _EXTEND.format(
        which="hashtextextended(message_id, 0) = ANY(ARRAY(SELECT hashtextextended(i, 0)"
        " FROM unnest(CAST(:ids AS text[])) AS i)) AND (message_id, phone_number_id)"
        " IN (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS text[])))"
    )
)
_FORGET = text(f"""
WITH gone AS (
  DELETE FROM message_stages WHERE message = ANY(ARRAY(
    SELECT {_KEY.format("i", "n")} FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS text[])) AS m(i, n)))
  RETURNING *
), deltas AS (
  SELECT d.* FROM gone CROSS JOIN LATERAL (VALUES {_places("gone.", -1)})
    AS d(at, series_id, category, {", ".join(_STEPS)})
  WHERE d.at IS NOT NULL
)
{_ADD}
""")
_SPAN = text(f"""
SELECT min(least(h.sent_at, h.delivered_at, h.read_at, h.failed_at)), max(h.last_at), bool_or(m.failed_at IS NOT NULL),
       (SELECT counted_until FROM stage_progress), EXISTS (SELECT FROM stage_recounts)
FROM messages m LEFT JOIN message_stages h ON h.message = {_KEY.format("m.message_id", "m.phone_number_id")}
WHERE m.message_id = :message_id HAVING count(*) = count(h.message)
""")
_COUNTS_LAG = timedelta(minutes=10)
_AROUND, _RECENT = timedelta(hours=1), timedelta(days=1)
_TAKE = text("""
DELETE FROM stage_recounts WHERE id = ANY(ARRAY(SELECT id FROM stage_recounts ORDER BY id LIMIT :limit))
RETURNING message_id, phone_number_id
""")
_ASK = """
INSERT INTO stage_recounts (message_id, phone_number_id)
SELECT DISTINCT * FROM unnest(%s::text[], %s::text[])
"""
_RENAME = text(f"""
UPDATE message_stages SET message = {_KEY.format("i.new", "e.phone_number_id")}
FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS i(old, new)
JOIN (SELECT DISTINCT message_id, phone_number_id FROM status_events
      WHERE hashtextextended(message_id, 0) = ANY(ARRAY(SELECT hashtextextended(n, 0)
                                                        FROM unnest(CAST(:new AS text[])) AS n))
        AND message_id = ANY(:new)) AS e ON e.message_id = i.new
WHERE message = {_KEY.format("i.old", "e.phone_number_id")}
""")
_RENAME_ASKED = text("""
UPDATE stage_recounts SET message_id = i.new
FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS i(old, new) WHERE message_id = i.old
""")


def counted_until(connection: Connection) -> datetime | None:
    """Events received before this are counted; None: nothing is counted yet."""
    found: datetime | None = connection.execute(text("SELECT counted_until FROM stage_progress")).scalar()
    return found


class Span(NamedTuple):
    """A message's events occurred from `first` to `last`, or since `recent`. `failed`: one at least is a failure."""

    first: datetime
    last: datetime
    recent: datetime
    failed: bool


def span_of(connection: Connection, message_id: str, now: datetime) -> Span | None:
    """In which days to look for a message's events; None: in all, because not all is counted.

    What occurred in the last day is always looked at. What comes later than that, and not within an hour of what is
    known, is in the span once it is counted: within some three minutes.
    """
    for first, last, failed, until, recounts_wait in connection.execute(_SPAN, {"message_id": message_id}):
        if first and until and until > now - _COUNTS_LAG and not recounts_wait:
            return Span(first - _AROUND, last + _AROUND, until - _RECENT, failed)
    return None


def first_received(connection: Connection, before: datetime) -> datetime | None:
    """When the first event was received of those that occurred before then."""
    statement = text("SELECT min(received_at) FROM status_events WHERE occurred_at < :before")
    found: datetime | None = connection.execute(statement, {"before": before}).scalar()
    return found


def hold(connection: Connection) -> datetime | None:
    """The same, and nobody else counts until the transaction ends."""
    place = "INSERT INTO stage_progress DEFAULT VALUES ON CONFLICT DO NOTHING"
    connection.execute(text(place))
    found = connection.execute(text("SELECT counted_until FROM stage_progress FOR UPDATE"))
    until: datetime | None = found.scalar_one()
    return until


def advance(connection: Connection, until: datetime) -> None:
    """Say that events received before this are counted."""
    connection.execute(text("UPDATE stage_progress SET counted_until = :until"), {"until": until})


def count_received(connection: Connection, since: datetime, until: datetime) -> int:
    """Count the events received from `since` to before `until`; returns of how many messages they are."""
    return int(connection.execute(_BETWEEN, {"since": since, "until": until}).scalar_one())


def ask_recount(connection: DriverConnection, messages: Iterable[Message]) -> None:
    """Have these messages counted anew from all their events; waits for nobody."""
    if wanted := sorted(set(messages)):
        connection.execute(_ASK, [text_array(column) for column in zip(*wanted, strict=True)])


def recount(connection: Connection, limit: int) -> int:
    """Count anew up to `limit` of what was asked for; returns how many that were."""
    taken = [tuple(row) for row in connection.execute(_TAKE, {"limit": limit})]
    if taken:
        ids, numbers = zip(*set(taken), strict=True)
        values = {"ids": list(ids), "numbers": list(numbers)}
        connection.execute(_FORGET, values)
        connection.execute(_OF_MESSAGES, values)
    return len(taken)


def rename(connection: Connection, ids: Mapping[str, str]) -> int:
    """Go on counting messages once whose events now have another id; returns how many recounts that were asked for.

    Whoever counts at the moment is waited for: it may be about to store the old ids.
    """
    hold(connection)
    values = {"old": list(ids), "new": list(ids.values())}
    connection.execute(_RENAME, values)
    return int(connection.execute(_RENAME_ASKED, values).rowcount)
