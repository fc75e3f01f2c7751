"""Consent of contacts: marketing preferences set in WhatsApp, and keywords of conversations."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import TextClause, text

from webhook_app.rules.suppressions.consent import ConsentStatement, Source
from webhook_app.store.postgres.engine import Connection


class StoredConsent(Struct, frozen=True):
    """A statement, with the contact key and the business number that received it."""

    contact: str
    phone_number_id: str
    statement: ConsentStatement


_TAKE = """
UPDATE {table} SET considered_at = :now WHERE considered_at IS NULL AND received_at <= (
  SELECT max(received_at) FROM (
    SELECT received_at FROM {table} WHERE considered_at IS NULL ORDER BY received_at LIMIT :limit) AS oldest)
RETURNING contact, phone_number_id
"""
_TAKE_RECEIVED = """
UPDATE {table} SET considered_at = :now
WHERE considered_at IS NULL AND received_at = :received_at AND (tableoid, ctid) IN (
  SELECT tableoid, ctid FROM {table} WHERE considered_at IS NULL AND received_at = :received_at LIMIT :limit)
RETURNING contact, phone_number_id
"""
_MOST_READ = 200  # of each key, the newest first; more of them than people make would take seconds
_NEWEST = f"""
SELECT found.* FROM unnest(CAST(:contacts AS text[])) AS c(contact)
CROSS JOIN LATERAL (SELECT * FROM ({{found}}) AS found ORDER BY occurred_at DESC LIMIT {_MOST_READ}) AS found
"""
_MOMENT = "CASE WHEN contact = ANY(:shared) THEN occurred_at END"
_PREFERENCES = text(
    _NEWEST.format(
        found=f"""
SELECT DISTINCT ON (phone_number_id, value, {_MOMENT}) contact, phone_number_id, occurred_at, value AS kind,
       '' AS message_id
FROM preferences WHERE contact = c.contact
ORDER BY phone_number_id, value, {_MOMENT}, occurred_at DESC
"""
    )
)
_KEYWORDS = text(
    _NEWEST.format(
        found=f"""
SELECT DISTINCT ON (phone_number_id, keyword, {_MOMENT}) contact, phone_number_id, occurred_at,
       keyword AS kind, message_id
FROM inbound_messages WHERE contact = c.contact AND keyword <> ''
ORDER BY phone_number_id, keyword, {_MOMENT}, occurred_at DESC, message_id DESC
"""
    )
)


def take_preferences(connection: Connection, limit: int, now: datetime) -> list[tuple[str, str]]:
    """Mark about `limit` of the oldest new preferences as considered; returns their (contact, business number)."""
    return _take(connection, "preferences", limit, now)


def take_keywords(connection: Connection, limit: int, now: datetime) -> list[tuple[str, str]]:
    """Mark about `limit` of the oldest new keywords as considered; returns their (contact, business number)."""
    return _take(connection, "inbound_messages", limit, now)


def take_received(
    connection: Connection, received_at: datetime, limit: int, now: datetime
) -> list[tuple[str, str]]:
    """Mark `limit` new preferences and keywords of this time of receipt as considered; returns as `take_keywords`."""
    found: list[tuple[str, str]] = []
    for table in ("preferences", "inbound_messages"):
        values = {"received_at": received_at, "now": now, "limit": limit - len(found)}
        found += [tuple(row) for row in connection.execute(text(_TAKE_RECEIVED.format(table=table)), values)]
    return found


def preferences(
    connection: Connection, contacts: Sequence[str], shared: Sequence[str] = ()
) -> list[StoredConsent]:
    """The newest stop and the newest resume of each key on each business number, at most 200 of a key.

    Of keys that several people held, `shared`, all of them.
    """
    return _read(connection, _PREFERENCES, contacts, shared, "settings")


def keywords(
    connection: Connection, contacts: Sequence[str], shared: Sequence[str] = ()
) -> list[StoredConsent]:
    """The newest keyword of each meaning of each key on each business number, at most 200 of a key.

    Of keys that several people held, `shared`, all of them.
    """
    return _read(connection, _KEYWORDS, contacts, shared, "chat")


def _take(connection: Connection, table: str, limit: int, now: datetime) -> list[tuple[str, str]]:
    rows = connection.execute(text(_TAKE.format(table=table)), {"limit": limit, "now": now})
    return [(row.contact, row.phone_number_id) for row in rows]


def _read(
    connection: Connection,
    statement: TextClause,
    contacts: Sequence[str],
    shared: Sequence[str],
    source: Source,
) -> list[StoredConsent]:
    rows = connection.execute(statement, {"contacts": list(contacts), "shared": list(shared)})
    return [
        StoredConsent(
            row.contact,
            row.phone_number_id,
            ConsentStatement(row.occurred_at, row.kind, row.message_id, source, row.contact),
        )
        for row in rows
    ]
