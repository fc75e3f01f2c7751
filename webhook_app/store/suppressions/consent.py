"""Consent of contacts: marketing preferences set in WhatsApp, and keywords of conversations."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import TextClause, text

from webhook_app.rules.suppressions.consent import ConsentStatement, Source
from webhook_app.store.postgres.engine import Connection


class TooManyStatementsError(Exception):
    """These keys have more statements than one transaction reads."""


class StoredConsent(Struct, frozen=True):
    """A statement, with the contact key and the business number that received it."""

    contact: str
    phone_number_id: str
    statement: ConsentStatement


_WAITING = """
SELECT contact FROM {table} WHERE considered_at IS NULL AND contact <> ALL(:left_out) ORDER BY received_at LIMIT :limit
"""
_TAKE = """
UPDATE {table} SET considered_at = :now WHERE considered_at IS NULL AND contact = ANY(:contacts)
RETURNING contact, phone_number_id
"""
_TAKE_RECEIVED = """
UPDATE {table} SET considered_at = :now
WHERE considered_at IS NULL AND received_at = :received_at AND (tableoid, ctid) IN (
  SELECT tableoid, ctid FROM {table}
  WHERE considered_at IS NULL AND received_at = :received_at AND contact = ANY(:contacts) LIMIT :limit)
RETURNING contact, phone_number_id
"""
_TABLES: Mapping[Source, str] = {"settings": "preferences", "chat": "inbound_messages"}
ROWS_TOGETHER = 5_000
"""The most preferences, and the most keywords, that one transaction reads; those of one person are at most 2 000."""
_NEWEST = f"""
SELECT found.* FROM unnest(CAST(:contacts AS text[]), CAST(:most AS int[])) AS c(contact, most)
CROSS JOIN LATERAL (SELECT * FROM ({{found}}) AS found ORDER BY occurred_at DESC LIMIT c.most) AS found
LIMIT {ROWS_TOGETHER + 1}
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


def waiting(source: Source, connection: Connection, limit: int, left_out: Iterable[str] = ()) -> list[str]:
    """The contacts, but these, of the `limit` oldest preferences, or keywords, that are not considered yet."""
    found = text(_WAITING.format(table=_TABLES[source]))
    return list(connection.execute(found, {"limit": limit, "left_out": list(left_out)}).scalars())


def take(
    connection: Connection, source: Source, contacts: Sequence[str], now: datetime
) -> list[tuple[str, str]]:
    """Mark all new preferences, or keywords, of these contacts as considered; returns (contact, business number)."""
    values = {"contacts": list(contacts), "now": now}
    return [tuple(row) for row in connection.execute(text(_TAKE.format(table=_TABLES[source])), values)]


def take_received(
    connection: Connection, received_at: datetime, contacts: Sequence[str], limit: int, now: datetime
) -> list[tuple[str, str]]:
    """Mark `limit` new preferences and keywords of these contacts with this time of receipt; returns as `take`."""
    found: list[tuple[str, str]] = []
    for table in _TABLES.values():
        values = {"received_at": received_at, "contacts": list(contacts), "now": now}
        values["limit"] = limit - len(found)
        found += [tuple(row) for row in connection.execute(text(_TAKE_RECEIVED.format(table=table)), values)]
    return found


def preferences(
    connection: Connection, most: Mapping[str, int], shared: Sequence[str] = ()
) -> list[StoredConsent]:
    """The newest stop and the newest resume of each key on each business number, at most `most` of a key.

    Of keys that several people held, `shared`, all of them. Raises TooManyStatementsError beyond ROWS_TOGETHER.
    """
    return _read(connection, _PREFERENCES, most, shared, "settings")


def keywords(
    connection: Connection, most: Mapping[str, int], shared: Sequence[str] = ()
) -> list[StoredConsent]:
    """The newest keyword of each meaning of each key on each business number, at most `most` of a key.

    Of keys that several people held, `shared`, all of them. Raises TooManyStatementsError beyond ROWS_TOGETHER.
    """
    return _read(connection, _KEYWORDS, most, shared, "chat")


def _read(
    connection: Connection,
    statement: TextClause,
    most: Mapping[str, int],
    shared: Sequence[str],
    source: Source,
) -> list[StoredConsent]:
    values = {"contacts": list(most), "most": list(most.values()), "shared": list(shared)}
    rows = connection.execute(statement, values).all()
    if len(rows) > ROWS_TOGETHER:
        raise TooManyStatementsError
    return [
        StoredConsent(
            row.contact,
            row.phone_number_id,
            ConsentStatement(row.occurred_at, row.kind, row.message_id, source, row.contact),
        )
        for row in rows
    ]
