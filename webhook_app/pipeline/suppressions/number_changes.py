"""Moves suppressions to the present key of people who changed their number or user id. Reads, writes nothing.

A suppression belongs to the person who held the number at the time of its evidence. It moves with that person and does
not apply to the present holder of the number.
"""

from collections.abc import Iterable
from datetime import timedelta

from msgspec.structs import replace

from webhook_app.rules.people.holders import Holders, KeyHolder
from webhook_app.rules.suppressions.blocking import end_of
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import SYSTEM, ChangeEvidence, HasEvidence, Key, based_on
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts

AUTOMATIC = ("hard", "unreachable")
EVIDENCE_KEPT = 10
"""Of a suppression."""


def transfer_suppressions(
    connection: Connection, keys: Iterable[str]
) -> tuple[list[Suppression], list[Removal]]:
    """The suppressions of everybody who held these keys: as new rows under their main keys, and as removals."""
    asked = list(dict.fromkeys(keys))
    known = holders(connection, asked)
    people = [person for key in asked for person in known.everybody(key)]
    rows = of_contacts(connection, sorted(all_keys(people).union(asked)))
    held: dict[Key, Suppression] = {}
    moving: list[Suppression] = []
    wanted: dict[Key, Suppression] = {}
    removals = []
    for row in rows:
        person = _holder_of(known, row)
        if person.main == row.contact:
            held[row.key] = replace(row, evidence=_with_origin(row, person))
        elif person.main:
            note = row.note or "moved along with the person"
            moved = replace(row, contact=person.main, evidence=_with_origin(row, person), note=note)
            moving.append(_with_past_end(moved))
            why = "the person goes on under another number or user id"
            removals.append(Removal(row, "lift", SYSTEM, why))
        elif row.reason in AUTOMATIC:
            removals.append(Removal(row, "lift", SYSTEM, "somebody else has the number now"))
        else:
            held[row.key] = replace(row, evidence=())
    for moved in moving:
        other = wanted.get(moved.key) or held.get(moved.key)
        wanted[moved.key] = _both(other, moved) if other else moved
    return list(wanted.values()), removals


def _both(held: Suppression, moved: Suppression) -> Suppression:
    """Two rows of one person as one: it ends when the later one does, and what a person confirmed stays confirmed."""
    held = _with_past_end(held)
    later, other = (moved, held) if end_of(moved) > end_of(held) else (held, moved)
    evidence = sorted({*held.evidence, *moved.evidence}, key=lambda each: (each.occurred_at, each.message_id))
    return replace(
        later,
        since=(min if later.reason in AUTOMATIC else max)(held.since, moved.since),
        times=max(held.times, moved.times),
        evidence=tuple(evidence[-EVIDENCE_KEPT:]),
        seen_as=later.seen_as or other.seen_as,
        note="; ".join(dict.fromkeys(note for note in (later.note, other.note) if note)),
        review=held.review and moved.review,
        probe_until=max(filter(None, (held.probe_until, moved.probe_until)), default=None),
    )


def _with_past_end(row: Suppression) -> Suppression:
    """A half-open row as before its end was noticed: a new row may not be half-open, see `apply`."""
    return replace(row, until=row.half_open_at, half_open_at=None) if row.half_open_at else row


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
