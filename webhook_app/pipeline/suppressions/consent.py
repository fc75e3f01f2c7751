"""Judges what people said about being written to: preferences at Meta, 131050, STOP and START. Writes nothing.

Everything a person ever said to a business number is weighed anew, so the order of arrival does not matter.
"""

from collections.abc import Iterable
from datetime import datetime

from webhook_app.pipeline.suppressions.explanations import LOOKBACK
from webhook_app.rules.suppressions.consent import ConsentStatement, newest
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.store.people.contacts import main_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import consent as wish_store
from webhook_app.store.suppressions import contact_failures as strike_store
from webhook_app.store.suppressions.changes import PERSON, SYSTEM, ChangeEvidence, endings
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts
from webhook_app.whatsapp.events import NO_CODE

OPTED_OUT = "opted_out"

Matter = tuple[str, str, str]
"""The main key of a person, a business number, a scope."""


def judge(
    connection: Connection, people: Iterable[tuple[str, str]], now: datetime
) -> tuple[list[Suppression], list[Removal]]:
    """Who of these (contact, business number) is opted out by their newest word, and who no longer is."""
    asked = {(contact, number) for contact, number in people if contact}
    if not asked:
        return [], []
    main = main_keys(connection, {contact for contact, _ in asked})
    cases = {(main[contact], number) for contact, number in asked}
    standing: dict[Matter, list[Suppression]] = {}
    for row in of_contacts(connection, list(main)):
        if row.reason == OPTED_OUT:
            standing.setdefault((main[row.contact], row.phone_number_id, row.scope), []).append(row)
    wanted, removals = [], []
    for matter, wishes in _wishes(connection, main, standing, now).items():
        if (matter[1] and matter[:2] not in cases) or not (word := newest(wishes)):
            continue
        rows = standing.get(matter, [])
        if not word.against:
            removals += [Removal(row, "lift", PERSON, _told(word)) for row in rows]
        elif not _is_of_row(word):
            row = _row(matter, word, rows)
            wanted.append(row)
            removals += [
                Removal(old, "lift", SYSTEM, f"kept under {row.contact}")
                for old in rows
                if old.key != row.key
            ]
    return wanted, removals


def _wishes(
    connection: Connection, main: dict[str, str], standing: dict[Matter, list[Suppression]], now: datetime
) -> dict[Matter, list[ConsentStatement]]:
    found: dict[Matter, list[ConsentStatement]] = {}

    def add(contact: str, number: str, scope: str, wish: ConsentStatement) -> None:
        found.setdefault((main[contact], number, scope), []).append(wish)
        if number and wish.said in ("resume", "start"):
            # Who asks one number to write again no longer wants all numbers to be silent.
            found.setdefault((main[contact], "", scope), []).append(wish)

    keys = list(main)
    for said in wish_store.preferences(connection, keys):
        add(said.contact, said.phone_number_id, "marketing", said.wish)
    for said in wish_store.keywords(connection, keys):
        add(said.contact, said.phone_number_id, "all", said.wish)
    for refused in strike_store.of_contacts(connection, keys, [STOPPED_MARKETING], now - LOOKBACK):
        wish = ConsentStatement(refused.occurred_at, "code", refused.message_id)
        add(refused.contact, refused.phone_number_id, "marketing", wish)
    for ended in endings(connection, keys):
        if ended.reason == OPTED_OUT:
            add(ended.contact, ended.phone_number_id, ended.scope, ConsentStatement(ended.at, "operator"))
    for (_, number, scope), rows in standing.items():
        for row in rows:
            # A refusal that is no longer stored weighs what it did when it was.
            add(
                row.contact,
                number,
                scope,
                ConsentStatement(row.since, "code" if _refused(row) else "standing"),
            )
    return found


def _row(matter: Matter, word: ConsentStatement, rows: list[Suppression]) -> Suppression:
    contact, number, scope = matter
    refused = word.said == "code"
    code = STOPPED_MARKETING if refused else NO_CODE
    evidence = ChangeEvidence(
        word.occurred_at, word.message_id, code, what="failed" if refused else word.said
    )
    known = next((row for row in rows if row.contact == contact), None)
    return Suppression(
        contact=contact,
        phone_number_id=number,
        scope=scope,
        reason=OPTED_OUT,
        code=code,
        since=word.occurred_at,
        evidence=(evidence,),
        seen_as=known.seen_as if known else "",
        actor=PERSON,
        note=known.note if known else "",
    )


def _told(word: ConsentStatement) -> str:
    return f"{word.said} at {word.occurred_at:%Y-%m-%d %H:%M:%S} UTC"


def _is_of_row(word: ConsentStatement) -> bool:
    return word.said == "standing" or (word.said == "code" and not word.message_id)


def _refused(row: Suppression) -> bool:
    return row.code == STOPPED_MARKETING
