"""Reads what webhooks, not reports, say of messages. Uses the driver: it shares the writers' connection."""

from collections.abc import Collection

from webhook_app.store.counts.webhook_counts import FROM_WEBHOOK
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import DriverConnection

_NAMED = f"""
SELECT DISTINCT e.message_id, e.contact FROM status_events e
WHERE keyed_hash(e.message_id) = ANY(ARRAY(SELECT keyed_hash(i) FROM unnest(%(ids)s::text[]) i))
  AND e.message_id = ANY(%(ids)s::text[]) AND e.contact <> '' AND e.participant = ''
  AND e.occurred_at >= (SELECT min(sent_at) - interval '8 days' FROM sends WHERE message_id = ANY(%(ids)s::text[]))
  AND {FROM_WEBHOOK}
"""


def named_by_webhooks(connection: DriverConnection, message_ids: Collection[str]) -> list[tuple[str, str]]:
    """Return (message id, contact) for these messages, without members of groups."""
    rows = connection.execute(_NAMED, {"ids": text_array(sorted(message_ids))})
    return [(row[0], row[1]) for row in rows]
