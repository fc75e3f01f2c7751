"""Finds failures that have no retry yet, and what happened to messages that are due. Writes only how far it searched.

A search reads the failures since the one before and some minutes more, and an hour more once a minute: webhooks may
arrive late.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.sends.retries import MAX_ATTEMPTS
from webhook_app.store.counts.failures import COUNTED
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends.retries import Retry
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX

RETRY_CALL_PREFIX = f"{GENERATED_ID_PREFIX}retry:"
"""The prefix of the ids of failed calls that were to send a message again: they are no messages of their own."""
_LATE, _VERY_LATE = timedelta(minutes=5), timedelta(hours=1)
_AGAIN_AFTER = timedelta(seconds=1)


class RetryableFailure(Struct, frozen=True):
    """A failure without a retry. `attempts`: retries that its message had under other ids."""

    message_id: str
    phone_number_id: str
    occurred_at: datetime
    error_code: int
    error_subcode: int
    contact: str
    series_id: int
    category: str
    first_message_id: str
    first_failed_at: datetime
    attempts: int
    reported_by: str
    """The API key that reported the message first; '': none did."""


class MessageFacts(Struct, frozen=True):
    """What is known of a message that is due.

    `later_message_id`: the first message of the same template or campaign to the contact since: since the lease began,
    or else a message since the failure that did not fail. Webhooks name it, or a report of the key that leases.
    """

    is_delivered: bool
    callback_data: str
    later_message_id: str


_START = text("INSERT INTO retry_progress (searched_at) VALUES (:start) ON CONFLICT DO NOTHING")
_LOCK = text("SELECT searched_at FROM retry_progress WHERE searched_at <= :before FOR UPDATE SKIP LOCKED")
_SAVE = text("UPDATE retry_progress SET searched_at = :now")
# As in store/counts/failures: earlier failures of the day with the same contact, series and code are tries. What costs
# lookups is read for the chosen failures only, and no more tries than matter are counted.
_FIND = text(f"""
WITH found AS (
  SELECT DISTINCT ON (f.message_id, f.phone_number_id)
         f.message_id, f.phone_number_id, f.occurred_at, f.error_code, f.error_subcode, f.contact, f.series_id,
         f.source = 'send' AS is_reported
  FROM failures f
  WHERE f.occurred_at >= :since AND f.error_code = ANY(:codes)
    AND (f.occurred_at >= :soon_since OR f.error_code <> ALL(:soon))
    AND f.contact <> '' AND f.participant = '' AND NOT starts_with(f.message_id, '{RETRY_CALL_PREFIX}')
    AND NOT EXISTS (SELECT FROM retries r
                    WHERE r.message_id = f.message_id AND r.phone_number_id = f.phone_number_id)
    AND (f.source <> 'send' OR ARRAY(  -- what another key than the message's own reports sends it to nobody again
      SELECT w.reported_by FROM sends w WHERE w.message_id = f.message_id ORDER BY w.registered_at, w.reported_by
      LIMIT 1) && ARRAY(
      SELECT w.reported_by FROM sends w
      WHERE w.message_id = f.message_id AND w.failed AND w.error_code = f.error_code))
  ORDER BY f.message_id, f.phone_number_id, f.occurred_at DESC, f.error_code
), chosen AS MATERIALIZED (  -- those of webhooks first: a sender can make up the others
  SELECT * FROM found ORDER BY is_reported, occurred_at, message_id, phone_number_id LIMIT :limit
)
SELECT DISTINCT ON (f.message_id, f.phone_number_id)
       f.message_id, f.phone_number_id, f.occurred_at, f.error_code, f.error_subcode, f.contact, f.series_id,
       coalesce((SELECT max(e.category) FROM status_events e
                 WHERE keyed_hash(e.message_id) = keyed_hash(f.message_id)
                   AND e.message_id = f.message_id AND e.occurred_at = f.occurred_at), '') AS category,
       coalesce(p.first_message_id, f.message_id) AS first_message_id,
       coalesce(p.first_failed_at, f.occurred_at) AS first_failed_at,
       greatest(p.attempts, CASE WHEN f.error_code = ANY(:counted) THEN (
         SELECT count(*) FROM (
           SELECT FROM failures t
           WHERE t.contact = f.contact AND t.series_id = f.series_id AND t.error_code = f.error_code
             AND t.occurred_at >= date_trunc('day', f.occurred_at, 'UTC') AND t.occurred_at <= f.occurred_at
             AND (t.occurred_at, t.message_id, t.phone_number_id) < (f.occurred_at, f.message_id, f.phone_number_id)
           LIMIT {MAX_ATTEMPTS + 1}) AS few
       ) ELSE 0 END) AS attempts,
       coalesce(o.reported_by, '') AS reported_by
FROM chosen f
LEFT JOIN LATERAL (SELECT w.reported_by FROM sends w WHERE w.message_id = f.message_id
                   ORDER BY w.registered_at, w.reported_by LIMIT 1) o ON TRUE
LEFT JOIN retries p
  ON p.sent_message_id = f.message_id AND p.phone_number_id = f.phone_number_id AND p.contact = f.contact
     AND p.leased_by = coalesce(o.reported_by, p.leased_by)
ORDER BY f.message_id, f.phone_number_id
""")
_IS_SAME = "(w.template, w.campaign) = (s.template, s.campaign) AND (s.template <> '' OR s.campaign <> '')"
_FACTS = text(f"""
SELECT r.id,
  EXISTS (SELECT FROM status_events e
          WHERE keyed_hash(e.message_id) = keyed_hash(r.message_id) AND e.message_id = r.message_id
            AND e.phone_number_id = r.phone_number_id AND e.status IN ('delivered', 'read', 'played')
            AND e.occurred_at >= r.occurred_at - interval '1 day') AS is_delivered,
  coalesce((SELECT max(e.callback_data) FROM status_events e
            WHERE keyed_hash(e.message_id) = keyed_hash(r.message_id)
              AND e.message_id = r.message_id AND e.occurred_at = r.occurred_at), '') AS callback_data,
  coalesce((
    SELECT l.message_id FROM (
      SELECT e.message_id, e.occurred_at AS at
      FROM status_events e JOIN series w ON w.id = e.series_id
      WHERE e.contact = r.contact AND e.occurred_at >= i.since
        AND (e.status <> 'failed' OR r.state = 'leased'
             AND NOT EXISTS (SELECT FROM sends c WHERE c.message_id = e.message_id AND c.failed))
        AND e.phone_number_id = r.phone_number_id AND {_IS_SAME}
        AND NOT starts_with(e.message_id, '{GENERATED_ID_PREFIX}')
      UNION ALL
      SELECT w.message_id, w.sent_at FROM sends w
      WHERE w.contact = r.contact AND w.sent_at >= i.since AND NOT w.failed
        AND w.phone_number_id = r.phone_number_id AND {_IS_SAME}
        AND w.reported_by = ANY(ARRAY[:key, r.reported_by, r.leased_by])
    ) l
    WHERE l.message_id <> r.message_id
    ORDER BY l.at, l.message_id LIMIT 1), '') AS later_message_id
FROM retries r JOIN series s ON s.id = r.series_id
CROSS JOIN LATERAL (
  SELECT CASE WHEN r.state = 'leased' THEN date_trunc('second', r.leased_at)
              ELSE r.failed_at + interval '1 second' END AS since) i
WHERE r.id = ANY(:ids)
""")


def begin(connection: Connection, now: datetime) -> datetime | None:
    """Begin a search: since when to read failures. None if another session searches, or has just done so.

    The very first search reads those of the last hour.
    """
    connection.execute(_START, {"start": now - timedelta(minutes=1)})
    locked = connection.execute(_LOCK, {"before": now - _AGAIN_AFTER})
    before: datetime | None = locked.scalar_one_or_none()
    if before is None:
        return None
    is_first_of_minute = before.replace(second=0, microsecond=0) != now.replace(second=0, microsecond=0)
    return before - (_VERY_LATE if is_first_of_minute else _LATE)


def end(connection: Connection, now: datetime) -> None:
    """Record that all failures up to now have been searched."""
    connection.execute(_SAVE, {"now": now})


def find(
    connection: Connection,
    since: datetime,
    soon_since: datetime,
    soon: Sequence[int],
    later: Sequence[int],
    limit: int,
) -> list[RetryableFailure]:
    """Failures since then with these codes, those with a code of `soon` since `soon_since`, that have no retry."""
    values = {"since": since, "soon_since": soon_since, "soon": list(soon), "codes": [*soon, *later]}
    rows = connection.execute(_FIND, values | {"counted": list(COUNTED), "limit": limit})
    return [RetryableFailure(*row) for row in rows]


def facts(connection: Connection, retries: Sequence[Retry], key: str) -> dict[int, MessageFacts]:
    """What is known of the messages of these retries, by id. `key`: the API key that leases them."""
    rows = connection.execute(_FACTS, {"ids": [each.id for each in retries], "key": key})
    return {row.id: MessageFacts(*row[1:]) for row in rows}
