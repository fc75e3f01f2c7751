"""Successes of contacts: messages delivered to them, messages from them, and the queue of both.

The queue holds only successes of keys that were suppressed at that time; pipeline/suppressions/suppress empties it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection


class LastSuccess(Struct, frozen=True, kw_only=True):
    """The last success of a key on one business number: of any kind, inbound, and of a marketing message."""

    contact: str
    phone_number_id: str
    at: datetime
    wrote_at: datetime | None
    marketing_at: datetime | None


class Success(Struct, frozen=True, kw_only=True):
    """One entry of the queue. `what`: delivered, read, played or inbound."""

    contact: str
    phone_number_id: str
    what: str
    message_id: str
    occurred_at: datetime


_EVER = datetime.max.replace(tzinfo=UTC)
_LAST = text("""
SELECT contact, phone_number_id, max(at) AS at, max(wrote_at) AS wrote_at, max(marketing_at) AS marketing_at
FROM (SELECT contact, phone_number_id, occurred_at AS at, NULL::timestamptz AS wrote_at,
             CASE WHEN category LIKE 'marketing%' THEN occurred_at END AS marketing_at
      FROM status_events
      WHERE contact = ANY(:contacts) AND occurred_at >= :since AND occurred_at < :until
        AND status IN ('delivered', 'read', 'played')
      UNION ALL
      SELECT contact, phone_number_id, occurred_at, NULL,
             CASE WHEN category LIKE 'marketing%' THEN occurred_at END
      FROM settled_events
      WHERE contact = ANY(:contacts) AND occurred_at >= :since AND occurred_at < :until
        AND status IN ('delivered', 'read')
      UNION ALL
      SELECT contact, phone_number_id, occurred_at, occurred_at, NULL FROM inbound_messages
      WHERE contact = ANY(:contacts) AND occurred_at >= :since AND occurred_at < :until) AS successes
GROUP BY contact, phone_number_id
""")
_MESSAGES = text("""
SELECT DISTINCT message_id, phone_number_id FROM status_events
WHERE keyed_hash(message_id) = ANY (SELECT keyed_hash(m) FROM unnest(CAST(:message_ids AS text[])) m)
  AND message_id = ANY(:message_ids) AND status IN ('delivered', 'read', 'played') AND occurred_at >= :since
UNION
SELECT message_id, phone_number_id FROM settled_messages
WHERE keyed_hash(message_id) = ANY (SELECT keyed_hash(m) FROM unnest(CAST(:message_ids AS text[])) m)
  AND message_id = ANY(:message_ids) AND greatest(delivered_at, read_at) >= :since
""")
_TAKE = text("""
DELETE FROM successes WHERE id = ANY (ARRAY(SELECT id FROM successes ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING contact, phone_number_id, what, message_id, occurred_at
""")


def last_successes(
    connection: Connection, contacts: Sequence[str], since: datetime, until: datetime = _EVER
) -> list[LastSuccess]:
    """The last success of each of these keys on each business number in this period."""
    values = {"contacts": list(contacts), "since": since, "until": until}
    rows = connection.execute(_LAST, values).mappings()
    return [LastSuccess(**row) for row in rows]


def arrived_messages(
    connection: Connection, message_ids: Sequence[str], since: datetime
) -> set[tuple[str, str]]:
    """The (message id, business number) of these messages that were delivered to any device."""
    rows = connection.execute(_MESSAGES, {"message_ids": list(message_ids), "since": since})
    return {(row.message_id, row.phone_number_id) for row in rows}


def take_successes(connection: Connection, limit: int) -> list[Success]:
    """Remove and return the oldest entries of the queue."""
    return [Success(**row) for row in connection.execute(_TAKE, {"limit": limit}).mappings()]
