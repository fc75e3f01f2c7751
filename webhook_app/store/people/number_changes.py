"""People who go on under another key: taken once, after which the links between keys tell the same. No decisions."""

from datetime import datetime

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_TAKE = text("""
UPDATE number_changes SET considered_at = :now WHERE considered_at IS NULL AND received_at <= (
  SELECT max(received_at) FROM (
    SELECT received_at FROM number_changes WHERE considered_at IS NULL ORDER BY received_at LIMIT :limit) AS oldest)
RETURNING old_contact
""")


def take(connection: Connection, limit: int, now: datetime) -> list[str]:
    """Mark about `limit` of the oldest new changes as considered; returns the keys that were left."""
    return list(connection.execute(_TAKE, {"limit": limit, "now": now}).scalars())
