"""The keys of a person, the main one of them, and changes of number. There is no table of people, only links."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection, driver

_LEFT = text("""
SELECT old_contact FROM number_changes o WHERE old_contact = ANY(:keys)
GROUP BY old_contact
HAVING max(occurred_at) > coalesce(
  (SELECT max(occurred_at) FROM number_changes n WHERE n.new_contact = o.old_contact), '-infinity')
""")
_TAKE_CHANGES = text("""
UPDATE number_changes SET considered_at = :now WHERE considered_at IS NULL AND received_at <= (
  SELECT max(received_at) FROM (
    SELECT received_at FROM number_changes WHERE considered_at IS NULL ORDER BY received_at LIMIT :limit) AS oldest)
RETURNING old_contact
""")


def keys_of(connection: Connection, contact: str) -> tuple[str, ...]:
    """All keys of the person: the given one first, then phone numbers, then user ids."""
    return links_of_many(connection, [contact])[contact]


def preferred(connection: Connection, contact: str) -> str:
    """The main key of a person: a phone number if one is linked, else the key itself."""
    return contact if contact.isdecimal() else main_keys(connection, [contact])[contact]


def links_of_many(connection: Connection, contacts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The keys of each contact as `keys_of` returns them, in few queries; an unlinked contact has only itself."""
    wanted = list(dict.fromkeys(contacts))
    people = links.people(driver(connection), wanted)
    return {
        contact: (contact, *sorted(people[contact] - {contact}, key=_rank))
        if contact in people
        else (contact,)
        for contact in wanted
    }


def main_keys(connection: Connection, contacts: Iterable[str]) -> dict[str, str]:
    """The main key of each person, for every key of the persons of these contacts.

    It is a phone number if there is one, and the person's present number rather than an old one, so that all keys of
    a person give the same main key.
    """
    people = set(map(frozenset, links_of_many(connection, contacts).values()))
    ambiguous = {key for keys in people if len(_candidates(keys)) > 1 for key in _candidates(keys)}
    left = set(connection.execute(_LEFT, {"keys": sorted(ambiguous)}).scalars()) if ambiguous else set()
    mains = {keys: min(_candidates(keys), key=lambda key: (key in left, key)) for keys in people}
    return {key: main for keys, main in mains.items() for key in keys}


def take_number_changes(connection: Connection, limit: int, now: datetime) -> list[str]:
    """Mark about `limit` of the oldest new changes of number as considered; returns the old keys."""
    return list(connection.execute(_TAKE_CHANGES, {"limit": limit, "now": now}).scalars())


def _candidates(keys: frozenset[str]) -> frozenset[str]:
    """The phone numbers among the keys of a person, or all keys if there are none."""
    phones = frozenset(key for key in keys if key.isdecimal())
    return phones or keys


def _rank(key: str) -> tuple[bool, str]:
    return not key.isdecimal(), key
