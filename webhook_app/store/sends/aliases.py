"""Aliases that senders report: the number that a message was sent to, and the id that Meta answered it has. Reads only.

An alias counts only for checks of the API key that reported it, so that no sender can decide about others' contacts.
"""

from collections.abc import Collection

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_ANY = text("SELECT EXISTS (SELECT FROM sends WHERE reported_by = :reported_by AND given <> '')")
_OF = text("""
SELECT DISTINCT ON (given) given, contact FROM sends
WHERE reported_by = :reported_by AND given <> '' AND given = ANY(:keys) AND contact <> ''
ORDER BY given, sent_at DESC
""")


def any_of(connection: Connection, reported_by: str) -> bool:
    """Whether this API key has reported any alias."""
    return bool(connection.execute(_ANY, {"reported_by": reported_by}).scalar_one())


def aliases_of(connection: Connection, reported_by: str, keys: Collection[str]) -> dict[str, str]:
    """Return the contact that each of these keys is an alias of, by the key's latest report."""
    rows = connection.execute(_OF, {"reported_by": reported_by, "keys": list(keys)})
    return {row.given: row.contact for row in rows}
