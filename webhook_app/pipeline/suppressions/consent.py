"""Decides opt-outs from what people stated: preferences at Meta, 131050, words and buttons. Reads, writes nothing.

Weighs every stored statement to a business number, so the order of arrival does not matter.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from webhook_app.pipeline.suppressions.explanations import LOOKBACK
from webhook_app.pipeline.suppressions.number_changes import all_keys, owner
from webhook_app.rules.people.holders import Holders
from webhook_app.rules.suppressions.consent import ConsentStatement, Source, newest, opt_outs
from webhook_app.rules.suppressions.reach import EVERY_NUMBER, numbers_reaching
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import consent, contact_failures
from webhook_app.store.suppressions.changes import PERSON, SYSTEM, ChangeEvidence, SuppressionChange, endings
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts
from webhook_app.whatsapp.events import NO_CODE

OPTED_OUT = "opted_out"
MOST_NUMBERS = 100
"""An opt-out from more business numbers than these applies to every number."""

_LEAST_OF_KEY, _MOST_OF_KEY, _MOST_OF_PERSON = 20, 200, 2_000  # statements; people make a few

MARKETING_WORDS: Mapping[str, Literal["stop_marketing", "ambiguous"]] = {
    "stop_marketing": "stop_marketing",
    "ambiguous": "ambiguous",
}
_SCOPES: Mapping[tuple[str, Source], tuple[str, ...]] = {
    ("stop", "chat"): ("all",),
    ("stop_marketing", "chat"): ("marketing",),
    ("ambiguous", "chat"): ("marketing",),
    ("start", "chat"): ("all", "marketing"),
    ("stop", "settings"): ("marketing",),
    ("resume", "settings"): ("marketing",),
}
"""The scopes that a statement concerns, by its kind and source."""

ConsentCase = tuple[str, str, str]
"""The main key of a person, a business number, a scope."""


def most_read(known: Holders, contacts: Iterable[str]) -> dict[str, int]:
    """All keys of everybody who held these, and how many statements of each are read, the newest first.

    Older ones are in the opt-outs that are stored. Few of each are read where a person has many keys.
    """
    most: dict[str, int] = {}
    for contact in contacts:
        keys = all_keys(known.everybody(contact))
        few = max(_LEAST_OF_KEY, min(_MOST_OF_KEY, _MOST_OF_PERSON // len(keys)))
        most |= {key: min(few, most.get(key, few)) for key in keys}
    return most


def decide_consent(
    connection: Connection, people: Iterable[tuple[str, str]], now: datetime, *, moved: Collection[str] = ()
) -> tuple[list[Suppression], list[Removal]]:
    """The opt-outs of these (contact, business number) that their newest statements make, and those that they lift.

    `moved`: keys of people who changed their number, decided on every business number. The caller holds the lock of
    changes.
    """
    asked = {(contact, number) for contact, number in people if contact}
    contacts = {contact for contact, _ in asked}.union(moved)
    if not contacts:
        return [], []
    known = holders(connection, contacts)
    concerned = {(each.main, number) for contact, number in asked for each in known.everybody(contact)}
    everywhere = {each.main for contact in moved for each in known.everybody(contact)}
    mains = {main for main, _ in concerned} | everywhere
    most = most_read(known, contacts)
    keys = sorted(most)
    stored: dict[ConsentCase, list[Suppression]] = {}
    for row in of_contacts(connection, keys):
        if row.reason == OPTED_OUT:
            stored.setdefault((owner(known, row), row.phone_number_id, row.scope), []).append(row)
    wanted, removals = [], []
    for case, statements in _statements(connection, known, most, stored, now).items():
        if case[0] not in mains or (case[1] and case[0] not in everywhere and case[:2] not in concerned):
            continue
        more, fewer = _decide_case(case, statements, stored.get(case, []))
        wanted += more
        removals += fewer
    return wanted, removals


def _decide_case(
    case: ConsentCase, statements: Sequence[ConsentStatement], rows: Sequence[Suppression]
) -> tuple[list[Suppression], list[Removal]]:
    active = opt_outs(statements)
    if not active:
        return [], [Removal(row, "lift", PERSON, _note(newest(statements))) for row in rows]
    row = _row(case, active, rows)
    if all(map(_comes_from_row, active)) and row.evidence == _evidence(rows):
        return [], []
    removals = []
    for old in rows:
        if old.key != row.key:
            removals.append(Removal(old, "lift", SYSTEM, f"kept under {row.contact}"))
        elif row.review and not old.review:
            # What stopped clearly was lifted, and an ambiguous word came after it.
            removals.append(Removal(old, "lift", PERSON, "an earlier opt-out was lifted"))
    return [row], removals


def _statements(
    connection: Connection,
    known: Holders,
    most: Mapping[str, int],
    stored: dict[ConsentCase, list[Suppression]],
    now: datetime,
) -> dict[ConsentCase, list[ConsentStatement]]:
    found: dict[ConsentCase, list[ConsentStatement]] = {}

    def add(main: str, number: str, scope: str, statement: ConsentStatement) -> None:
        # A person who resumes messages from one number no longer opts out of all numbers.
        lifts = statement.kind in ("resume", "start")
        for named in set(numbers_reaching(number)) if lifts else (number,):
            found.setdefault((main, named, scope), []).append(statement)

    keys = sorted(most)
    shared = [key for key in keys if known.changed_hands(key)]
    for each in (*consent.preferences(connection, most, shared), *consent.keywords(connection, most, shared)):
        for scope in _SCOPES[each.statement.kind, each.statement.source]:
            add(_author(known, each.statement), each.phone_number_id, scope, each.statement)
    for refused in contact_failures.refusals(connection, most, now - LOOKBACK):
        statement = ConsentStatement(
            refused.occurred_at, "code", refused.message_id, "settings", refused.contact
        )
        add(_author(known, statement), refused.phone_number_id, "marketing", statement)
    ends = [each for each in endings(connection, keys, shared) if each.reason == OPTED_OUT]
    for ended in (each for each in ends if each.action == "lift"):
        lifted = ConsentStatement(ended.at, "operator")
        add(owner(known, ended), ended.phone_number_id, ended.scope, lifted)
    for row in (row for rows in stored.values() for row in rows):
        for statement in _stored_statements(row):
            add(owner(known, row), row.phone_number_id, row.scope, statement)
    _leave_out_expired(found, known, ends)
    _widen(found, stored)
    return found


def _leave_out_expired(
    found: dict[ConsentCase, list[ConsentStatement]], known: Holders, ends: Iterable[SuppressionChange]
) -> None:
    """Leave out opt-outs whose suppression expired. Its end says nothing about those of the person's other keys."""
    for expired in (each for each in ends if each.action == "expire"):
        keys = {expired.contact, *(each.contact for each in expired.evidence if each.contact)}
        case = owner(known, expired), expired.phone_number_id, expired.scope
        if case in found:
            found[case] = [
                each
                for each in found[case]
                if not each.is_opt_out or each.contact not in keys or each.occurred_at > expired.at
            ]


def _widen(found: dict[ConsentCase, list[ConsentStatement]], stored: Collection[ConsentCase]) -> None:
    """Let the opt-outs of a person from more than MOST_NUMBERS numbers apply to every number, but those stored."""
    numbers: dict[tuple[str, str], list[str]] = {}
    for (main, number, scope), statements in found.items():
        if number != EVERY_NUMBER and any(each.is_opt_out for each in statements):
            numbers.setdefault((main, scope), []).append(number)
    for (main, scope), some in numbers.items():
        some.sort(key=lambda number: ((main, number, scope) not in stored, number))
        for number in some[MOST_NUMBERS:]:
            widened = [each for each in found.pop((main, number, scope)) if each.is_opt_out]
            found.setdefault((main, EVERY_NUMBER, scope), []).extend(widened)


def _author(known: Holders, statement: ConsentStatement) -> str:
    """The main key of the person who made it.

    An opt-out of somebody whose number another person got, while theirs is unknown, stays with the number.
    """
    main = known.holder(statement.contact, statement.occurred_at).main
    return main or (known.present(statement.contact).main if statement.is_opt_out else "")


def _stored_statements(row: Suppression) -> Iterator[ConsentStatement]:
    """What an active opt-out proves although its causes may no longer be stored."""
    others = [each for each in row.evidence if each.what not in MARKETING_WORDS]
    for each in row.evidence:
        if each.what in MARKETING_WORDS:
            yield ConsentStatement(
                each.occurred_at,
                MARKETING_WORDS[each.what],
                each.message_id,
                contact=each.contact or row.contact,
            )
    if others or not row.evidence:
        since = max((each.occurred_at for each in others), default=row.since)
        # A refused message that is no longer stored still counts as one.
        kind: Literal["code", "stored"] = "code" if row.code == STOPPED_MARKETING else "stored"
        yield ConsentStatement(since, kind, source="settings" if row.scope == "marketing" else "chat")


def _row(case: ConsentCase, active: Sequence[ConsentStatement], rows: Sequence[Suppression]) -> Suppression:
    contact, number, scope = case
    evidence: list[ChangeEvidence] = []
    for statement in active:
        if _comes_from_row(statement):
            evidence += (each for each in _evidence(rows) if each.what not in MARKETING_WORDS)
        else:
            evidence.append(_evidence_of(statement, contact))
    is_ambiguous = all(statement.is_ambiguous for statement in active)
    confirmed = any(not row.review and _is_ambiguous(row) for row in rows)
    return Suppression(
        contact=contact,
        phone_number_id=number,
        scope=scope,
        reason=OPTED_OUT,
        code=STOPPED_MARKETING if any(statement.kind == "code" for statement in active) else NO_CODE,
        since=max(statement.occurred_at for statement in active),
        evidence=tuple(evidence),
        seen_as=next((row.seen_as for row in rows if row.seen_as), ""),
        actor=PERSON,
        note="; ".join(dict.fromkeys(row.note for row in rows if row.note)),
        review=is_ambiguous and not confirmed,
    )


def _is_ambiguous(row: Suppression) -> bool:
    return bool(row.evidence) and all(each.what == "ambiguous" for each in row.evidence)


def _evidence(rows: Iterable[Suppression]) -> tuple[ChangeEvidence, ...]:
    return tuple(each for row in rows for each in row.evidence)


def _evidence_of(statement: ConsentStatement, contact: str) -> ChangeEvidence:
    refused = statement.kind == "code"
    return ChangeEvidence(
        statement.occurred_at,
        statement.message_id,
        STOPPED_MARKETING if refused else NO_CODE,
        what="failed" if refused else statement.kind,
        contact="" if statement.contact == contact else statement.contact,
    )


def _note(statement: ConsentStatement | None) -> str:
    return f"{statement.kind} at {statement.occurred_at:%Y-%m-%d %H:%M:%S} UTC" if statement else ""


def _comes_from_row(statement: ConsentStatement) -> bool:
    return statement.kind == "stored" or (statement.kind == "code" and not statement.message_id)
