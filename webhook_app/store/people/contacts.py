"""The keys of people, the main one of each, and changes of number. There is no table of people, only links."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.people.holders import Holders, KeyChange, Span
from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver

_CHANGES = {
    column: "SELECT c.occurred_at, c.old_contact, c.new_contact, c.received_at, c.message_id = 'renumbered'"
    f" FROM number_changes c WHERE c.{column} {{of_keys}}"
    for column in ("old_contact", "new_contact")
}
_CHANGES_AT_MOST = (
    10 * links.KEYS_AT_MOST
)  # of one key: every business number that a person wrote to reports one
_WAITING = text("""
SELECT old_contact FROM number_changes WHERE considered_at IS NULL AND old_contact <> ALL(:left_out)
ORDER BY received_at LIMIT :limit
""")
_TAKE_CHANGES = text("""
UPDATE number_changes SET considered_at = :now WHERE considered_at IS NULL AND old_contact = ANY(:contacts)
RETURNING old_contact, new_contact
""")


class _Linked(Struct, frozen=True):
    """The keys asked for and those of the same people, as they are linked, and the changes among them."""

    keys: list[str]
    """Without crowds, see links.KEYS_AT_MOST."""
    people: dict[str, set[str]]
    """All keys of the people of each linked key. Somebody else who got a number counts as the same person."""
    changes: list[KeyChange]


def holders(connection: Connection | DriverConnection, contacts: Iterable[str]) -> Holders:
    """Who held these keys, and all keys of the same people, at which time. See links.KEYS_AT_MOST."""
    own = driver(connection) if isinstance(connection, Connection) else connection
    return _holders(own, _read_linked(own, contacts))


def _holders(connection: DriverConnection, linked: _Linked) -> Holders:
    return Holders(links.timed(connection, linked.keys) if linked.keys else (), linked.changes)


def _read_linked(connection: DriverConnection, contacts: Iterable[str]) -> _Linked:
    asked, changes, found = dict.fromkeys(contacts), set[KeyChange](), dict[str, set[str]]()
    cut: Counter[str] = Counter()  # changes of keys of which only the first were read
    wanted = list(asked)
    while wanted:
        links.follow(connection, wanted, found)
        new = list(dict.fromkeys((*wanted, *(found.keys() - asked))))
        asked |= dict.fromkeys(new)
        for column, statement in _CHANGES.items():
            rows, are_cut = links.rows_of_keys(connection, statement, new, _CHANGES_AT_MOST)
            read = [KeyChange(*row) for row in rows]
            changes.update(read)
            if are_cut:
                cut.update(each.old if column == "old_contact" else each.new for each in read)
        for each in changes:
            links.join(found, each.old, each.new)
        wanted = sorted(key for key, keys in found.items() if key not in asked and not links.is_crowd(keys))
    crowds = found.keys() - links.without_crowds(found)
    for key, rows_of_key in cut.items():
        if rows_of_key > links.KEYS_AT_MOST:
            crowds |= found[key]
    return _Linked(
        keys=[key for key in asked if key not in crowds],
        people={key: keys for key, keys in found.items() if key not in crowds},
        changes=[each for each in changes if each.old not in crowds],
    )


def keys_of(connection: Connection, contact: str) -> tuple[str, ...]:
    """The keys of the person who holds this one: the given one first, then phone numbers, then user ids."""
    return links_of_many(connection, [contact])[contact]


def preferred(connection: Connection, contact: str) -> str:
    """The main key of a person: a phone number if one is linked, else the key itself."""
    return contact if contact.isdecimal() else main_keys(connection, [contact])[contact]


def links_of_many(connection: Connection, contacts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The keys of each contact as `keys_of` returns them, in few queries; an unlinked contact has only itself."""
    wanted = list(dict.fromkeys(contacts))
    own = driver(connection)
    linked = _read_linked(own, wanted)
    # Without a change of number all linked keys are one person's.
    known = _holders(own, linked) if linked.changes else None
    return {
        contact: (contact, *sorted(others - {contact}, key=_rank))
        if (others := set(known.present(contact).keys) if known else linked.people.get(contact))
        else (contact,)
        for contact in wanted
    }


def spans_of_many(connection: Connection, contacts: Iterable[str]) -> dict[str, tuple[Span, ...]]:
    """When the present holder of each contact held which key: what is from these times is theirs."""
    wanted = list(dict.fromkeys(contacts))
    known = holders(connection, wanted)
    return {contact: known.present(contact).spans for contact in wanted}


def main_keys(connection: Connection, contacts: Iterable[str]) -> dict[str, str]:
    """The main key of each person, for every key of the persons of these contacts.

    It is a phone number if there is one, so that all keys of a person give the same main key.
    """
    wanted = list(dict.fromkeys(contacts))
    known = holders(connection, wanted)
    people = [known.present(contact) for contact in wanted]
    return {key: person.main for person in people for key in person.keys}


def changed_contacts(connection: Connection, limit: int, left_out: Iterable[str] = ()) -> list[str]:
    """The old keys, but these, of the `limit` oldest changes of number that are not considered yet."""
    return list(connection.execute(_WAITING, {"limit": limit, "left_out": list(left_out)}).scalars())


def take_number_changes(
    connection: Connection, contacts: Sequence[str], now: datetime
) -> list[tuple[str, str]]:
    """Mark all new changes from these keys as considered; returns the old and the new keys."""
    rows = connection.execute(_TAKE_CHANGES, {"contacts": list(contacts), "now": now})
    return [(row.old_contact, row.new_contact) for row in rows]


def _rank(key: str) -> tuple[bool, str]:
    return not key.isdecimal(), key
