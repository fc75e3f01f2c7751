"""Who a person is and when they last wrote. No table of people, only links, which are read in store/links."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from webhook_app.store import links
from webhook_app.store.engine import driver

WINDOW = timedelta(hours=24)
"""How long after somebody wrote to a business number it may answer freely."""

_LAST_INBOUND = """
SELECT contact, max(occurred_at) FROM inbound_messages
WHERE contact = ANY(:keys) AND opens_window AND occurred_at > :since AND occurred_at <= :latest {chosen}
GROUP BY contact
"""


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


def last_inbound_many(
    connection: Connection, keys: Sequence[str], phone_number_id: str | None, now: datetime
) -> dict[str, datetime]:
    """When each key last wrote or called within 24 hours, to this business number or (None) to any."""
    chosen = "" if phone_number_id is None else "AND phone_number_id = :number"
    # A clock may be ahead of ours by what ingest tolerates.
    place = {"since": now - WINDOW, "latest": now + timedelta(minutes=5), "number": phone_number_id}
    statement = text(_LAST_INBOUND.format(chosen=chosen))
    if phone_number_id is None:
        del place["number"]
    rows = connection.execute(statement, place | {"keys": list(keys)})
    return {contact: at for contact, at in rows}  # noqa: C416 - a row is no tuple to the type checker


def _rank(key: str) -> tuple[bool, str]:
    return not key.isdecimal(), key
