"""Moves suppressions to the present key of people who changed their number or user id. Reads, writes nothing.

A suppression belongs to the person who held the number at the time of its evidence. It moves with that person and does
not apply to the present holder of the number.
"""

from collections.abc import Iterable
from datetime import timedelta

from msgspec.structs import replace

from webhook_app.rules.people.holders import Holders, KeyHolder
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import SYSTEM, ChangeEvidence, HasEvidence, based_on
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts

AUTOMATIC = ("hard", "unreachable")


def transfer_suppressions(
    connection: Connection, keys: Iterable[str]
) -> tuple[list[Suppression], list[Removal]]:
    """The suppressions of everybody who held these keys: as new rows under their main keys, and as removals."""
    asked = list(dict.fromkeys(keys))
    known = holders(connection, asked)
    people = [person for key in asked for person in known.everybody(key)]
    rows = of_contacts(connection, sorted(all_keys(people).union(asked)))
    held = {row.key for row in rows}
    wanted, removals = [], []
    for row in rows:
        person = _holder_of(known, row)
        main = person.main
        if main == row.contact or (not main and row.reason not in AUTOMATIC):
            continue
        if main:
            moved = replace(
                row,
                contact=main,
                evidence=_with_origin(row, person),
                note=row.note or "moved along with the person",
            )
            if moved.key not in held:
                wanted.append(moved)
                held.add(moved.key)
            removals.append(
                Removal(row, "lift", SYSTEM, "the person goes on under another number or user id")
            )
        else:
            held.discard(row.key)
            removals.append(Removal(row, "lift", SYSTEM, "somebody else has the number now"))
    return wanted, removals


def all_keys(people: Iterable[KeyHolder]) -> set[str]:
    """All keys that these people hold or held."""
    return {span.key for person in people for span in person.spans}


def owner(known: Holders, row: HasEvidence) -> str:
    """The main key of the person whose suppression this is or was.

    An opt-out or a decision by hand about a previous holder of a number stays with the number.
    """
    return _holder_of(known, row).main or known.present(row.contact).main


def _holder_of(known: Holders, row: HasEvidence) -> KeyHolder:
    if row.evidence:
        return known.holder(*based_on(row))
    return known.meant(row.contact, row.since) if row.since else known.present(row.contact)


def _with_origin(row: Suppression, person: KeyHolder) -> tuple[ChangeEvidence, ...]:
    """The evidence with the key it happened under; of a row without evidence, when the person held the key."""
    if row.evidence:
        return tuple(each if each.contact else replace(each, contact=row.contact) for each in row.evidence)
    held_until = [span.until for span in person.spans if span.key == row.contact and span.since <= row.since]
    at = min(row.since, max(held_until) - timedelta(seconds=1))
    return (ChangeEvidence(at, what=row.reason, contact=row.contact),)
