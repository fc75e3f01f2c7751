"""The keys of people, the main one of each, and changes of number. There is no table of people, only links."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from webhook_app.rules.people.holders import Holders, KeyChange
from webhook_app.store.people import links
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver

_CHANGES = """
SELECT occurred_at, old_contact, new_contact, received_at, message_id = 'renumbered' FROM number_changes
WHERE old_contact = ANY(%(keys)s::text[])
UNION
SELECT occurred_at, old_contact, new_contact, received_at, message_id = 'renumbered' FROM number_changes
WHERE new_contact = ANY(%(keys)s::text[])
"""
_TAKE_CHANGES = text("""
UPDATE number_changes SET considered_at = :now WHERE considered_at IS NULL AND received_at <= (
  SELECT max(received_at) FROM (
    SELECT received_at FROM number_changes WHERE considered_at IS NULL ORDER BY received_at LIMIT :limit) AS oldest)
RETURNING old_contact, new_contact
""")


def holders(connection: Connection | DriverConnection, contacts: Iterable[str]) -> Holders:
    """Who held these keys, and all keys of the same people, at which time."""
    own = driver(connection) if isinstance(connection, Connection) else connection
    found, changes = dict.fromkeys(contacts), set[KeyChange]()
    wanted = list(found)
    while wanted:
        people = links.people(own, wanted)
        found |= dict.fromkeys((*wanted, *people))
        keys = {"keys": text_array(list(dict.fromkeys((*wanted, *people))))}
        changes.update(KeyChange(*row) for row in own.execute(_CHANGES, keys))
        wanted = sorted({key for each in changes for key in (each.old, each.new)} - found.keys())
    return Holders(links.timed(own, list(found)) if found else (), changes)


def keys_of(connection: Connection, contact: str) -> tuple[str, ...]:
    """The keys of the person who holds this one: the given one first, then phone numbers, then user ids."""
    return links_of_many(connection, [contact])[contact]


def preferred(connection: Connection, contact: str) -> str:
    """The main key of a person: a phone number if one is linked, else the key itself."""
    return contact if contact.isdecimal() else main_keys(connection, [contact])[contact]


def links_of_many(connection: Connection, contacts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The keys of each contact as `keys_of` returns them, in few queries; an unlinked contact has only itself."""
    wanted = list(dict.fromkeys(contacts))
    known = holders(connection, wanted)
    return {
        contact: (contact, *(key for key in sorted(known.present(contact).keys, key=_rank) if key != contact))
        for contact in wanted
    }


def main_keys(connection: Connection, contacts: Iterable[str]) -> dict[str, str]:
    """The main key of each person, for every key of the persons of these contacts.

    It is a phone number if there is one, so that all keys of a person give the same main key.
    """
    wanted = list(dict.fromkeys(contacts))
    known = holders(connection, wanted)
    people = [known.present(contact) for contact in wanted]
    return {key: person.main for person in people for key in person.keys}


def take_number_changes(connection: Connection, limit: int, now: datetime) -> list[tuple[str, str]]:
    """Mark about `limit` of the oldest new changes of number as considered; returns the old and the new keys."""
    rows = connection.execute(_TAKE_CHANGES, {"limit": limit, "now": now})
    return [(row.old_contact, row.new_contact) for row in rows]


def _rank(key: str) -> tuple[bool, str]:
    return not key.isdecimal(), key
