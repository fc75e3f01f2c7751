"""Decides opt-outs from what people stated: preferences at Meta, 131050, STOP and START. Reads, writes nothing.

Weighs every stored statement to a business number, so the order of arrival does not matter.
"""

from collections.abc import Iterable
from datetime import datetime

from webhook_app.pipeline.suppressions.explanations import LOOKBACK
from webhook_app.rules.suppressions.consent import ConsentStatement, newest
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.store.people.contacts import main_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import consent, contact_failures
from webhook_app.store.suppressions.changes import PERSON, SYSTEM, ChangeEvidence, endings
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts
from webhook_app.whatsapp.events import NO_CODE

OPTED_OUT = "opted_out"

ConsentCase = tuple[str, str, str]
"""The main key of a person, a business number, a scope."""


def decide_consent(
    connection: Connection, people: Iterable[tuple[str, str]], now: datetime
) -> tuple[list[Suppression], list[Removal]]:
    """The opt-outs of these (contact, business number) that their newest statement makes, and those that it lifts."""
    asked = {(contact, number) for contact, number in people if contact}
    if not asked:
        return [], []
    main = main_keys(connection, {contact for contact, _ in asked})
    concerned = {(main[contact], number) for contact, number in asked}
    stored: dict[ConsentCase, list[Suppression]] = {}
    for row in of_contacts(connection, list(main)):
        if row.reason == OPTED_OUT:
            stored.setdefault((main[row.contact], row.phone_number_id, row.scope), []).append(row)
    wanted, removals = [], []
    for case, statements in _statements(connection, main, stored, now).items():
        if (case[1] and case[:2] not in concerned) or not (statement := newest(statements)):
            continue
        rows = stored.get(case, [])
        if not statement.is_opt_out:
            removals += [Removal(row, "lift", PERSON, _note(statement)) for row in rows]
        elif not _comes_from_row(statement):
            row = _row(case, statement, rows)
            wanted.append(row)
            removals += [
                Removal(old, "lift", SYSTEM, f"kept under {row.contact}")
                for old in rows
                if old.key != row.key
            ]
    return wanted, removals


def _statements(
    connection: Connection, main: dict[str, str], stored: dict[ConsentCase, list[Suppression]], now: datetime
) -> dict[ConsentCase, list[ConsentStatement]]:
    found: dict[ConsentCase, list[ConsentStatement]] = {}

    def add(contact: str, number: str, scope: str, statement: ConsentStatement) -> None:
        found.setdefault((main[contact], number, scope), []).append(statement)
        if number and statement.kind in ("resume", "start"):
            # A person who resumes messages from one number no longer opts out of all numbers.
            found.setdefault((main[contact], "", scope), []).append(statement)

    keys = list(main)
    for each in consent.preferences(connection, keys):
        add(each.contact, each.phone_number_id, "marketing", each.statement)
    for each in consent.keywords(connection, keys):
        add(each.contact, each.phone_number_id, "all", each.statement)
    for refused in contact_failures.of_contacts(connection, keys, [STOPPED_MARKETING], now - LOOKBACK):
        statement = ConsentStatement(refused.occurred_at, "code", refused.message_id)
        add(refused.contact, refused.phone_number_id, "marketing", statement)
    for ended in endings(connection, keys):
        if ended.reason == OPTED_OUT:
            add(ended.contact, ended.phone_number_id, ended.scope, ConsentStatement(ended.at, "operator"))
    for (_, number, scope), rows in stored.items():
        for row in rows:
            # A refused message that is no longer stored still counts as one.
            is_refusal = row.code == STOPPED_MARKETING
            statement = ConsentStatement(row.since, "code" if is_refusal else "stored")
            add(row.contact, number, scope, statement)
    return found


def _row(case: ConsentCase, statement: ConsentStatement, rows: list[Suppression]) -> Suppression:
    contact, number, scope = case
    refused = statement.kind == "code"
    code = STOPPED_MARKETING if refused else NO_CODE
    evidence = ChangeEvidence(
        statement.occurred_at, statement.message_id, code, what="failed" if refused else statement.kind
    )
    known = next((row for row in rows if row.contact == contact), None)
    return Suppression(
        contact=contact,
        phone_number_id=number,
        scope=scope,
        reason=OPTED_OUT,
        code=code,
        since=statement.occurred_at,
        evidence=(evidence,),
        seen_as=known.seen_as if known else "",
        actor=PERSON,
        note=known.note if known else "",
    )


def _note(statement: ConsentStatement) -> str:
    return f"{statement.kind} at {statement.occurred_at:%Y-%m-%d %H:%M:%S} UTC"


def _comes_from_row(statement: ConsentStatement) -> bool:
    return statement.kind == "stored" or (statement.kind == "code" and not statement.message_id)
