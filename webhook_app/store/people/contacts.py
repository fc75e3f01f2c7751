"""Who a person is: their keys, and the one they are kept under. No table of people, only links (store/people/links)."""

from collections.abc import Iterable

from sqlalchemy import text

from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection, driver

_LEFT = text("""
SELECT old_contact FROM number_changes o WHERE old_contact = ANY(:keys)
GROUP BY old_contact
HAVING max(occurred_at) > coalesce(
  (SELECT max(occurred_at) FROM number_changes n WHERE n.new_contact = o.old_contact), '-infinity')
""")


def keys_of(connection: Connection, contact: str) -> tuple[str, ...]:
    """Every key of the person, the given one first, then phone numbers, then user ids."""
    return links_of_many(connection, [contact])[contact]


def preferred(connection: Connection, contact: str) -> str:
    """The key a person is kept under: a phone number if one is linked, else the key itself."""
    return contact if contact.isdecimal() else main_keys(connection, [contact])[contact]


def links_of_many(connection: Connection, contacts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each contact what `keys_of` gives, in few queries for thousands; the unknown have only themselves."""
    wanted = list(dict.fromkeys(contacts))
    people = links.people(driver(connection), wanted)
    return {
        contact: (contact, *sorted(people[contact] - {contact}, key=_rank))
        if contact in people
        else (contact,)
        for contact in wanted
    }


def main_keys(connection: Connection, contacts: Iterable[str]) -> dict[str, str]:
    """The one key that each person is kept under, for every key of everybody asked for.

    A phone number if any, and rather the one the person has than one they left, so that it is the same whichever
    of the keys one came from.
    """
    people = set(map(frozenset, links_of_many(connection, contacts).values()))
    torn = {key for keys in people if len(_best_kind(keys)) > 1 for key in _best_kind(keys)}
    left = set(connection.execute(_LEFT, {"keys": sorted(torn)}).scalars()) if torn else set()
    mains = {keys: min(_best_kind(keys), key=lambda key: (key in left, key)) for keys in people}
    return {key: main for keys, main in mains.items() for key in keys}


def _best_kind(keys: frozenset[str]) -> frozenset[str]:
    """The phone numbers, or the user ids of somebody without."""
    phones = frozenset(key for key in keys if key.isdecimal())
    return phones or keys


def _rank(key: str) -> tuple[bool, str]:
    return not key.isdecimal(), key
