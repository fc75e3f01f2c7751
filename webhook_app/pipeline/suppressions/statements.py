"""Applies what people stated about messages: opt-outs made and lifted, and suppressions moved to a new number.

Called in the transaction that stores the statements, so that every check after its commit knows them. Takes the lock of
changes before it reads: of two transactions at once the second one sees the statements of the first.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec import Struct

from webhook_app.pipeline.suppressions.consent import decide_consent, most_read
from webhook_app.pipeline.suppressions.number_changes import transfer_suppressions
from webhook_app.rules.suppressions.reach import numbers_reaching
from webhook_app.store.people import erased_opt_outs, links
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import consent, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange

MAX_STATEMENTS = 100
"""Statements, changes of number or contacts with new links, applied in the transaction that stores them."""
_RESUMED_SCOPES = {"start": "all", "resume": "marketing"}


class NewFacts(Struct):
    """What a batch says of people. `stated`: contacts with a statement. `changed`: (old key, new key). `linked`:
    contacts with new links, which are in the queue of the job `suppress`."""

    stated: list[str] = []
    changed: list[tuple[str, str]] = []
    linked: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.stated or self.changed or self.linked)


def apply_new(connection: Connection, received_at: datetime, new: NewFacts, now: datetime) -> None:
    """Apply statements stored with this time of receipt, and what follows from new facts about people's keys.

    More than MAX_STATEMENTS, which people do not make at once, are left to the job `suppress`, and so is what concerns
    more keys than one transaction reads: no delivery waits for them. Raises TooManyStatementsError.
    """
    stated = list(dict.fromkeys(new.stated))[:MAX_STATEMENTS]
    moved = [key for pair in new.changed for key in pair]
    people = links.first_people(connection, [*stated, *moved, *new.linked])
    few = set(people)
    linked = [contact for contact in new.linked if contact in few]
    links.take_unapplied(connection, linked, wait=False)
    made = consent.take_received(connection, received_at, people, MAX_STATEMENTS, now) if stated else []
    changed = [pair for pair in new.changed if few.issuperset(pair)]
    if made or changed or linked:
        apply_statements(connection, made, changed, now, linked=linked)


def apply_statements(
    connection: Connection,
    stated: Iterable[tuple[str, str]],
    changed: Collection[tuple[str, str]],
    now: datetime,
    *,
    linked: Iterable[str] = (),
) -> list[SuppressionChange]:
    """Apply what these (contact, business number) stated, and these changes of number; returns the changes made."""
    suppressions.lock_changes(connection)
    stated = set(stated)
    changes: list[SuppressionChange] = []
    if changed and erased_opt_outs.are_kept(connection):
        erased_opt_outs.copy(connection, changed)
    if moved := {key for pair in changed for key in pair}.union(linked):
        changes += suppressions.apply(connection, *transfer_suppressions(connection, moved), now)
    changes += suppressions.apply(connection, *decide_consent(connection, stated, now, moved=moved), now)
    _forget_erased_opt_outs(connection, {contact for contact, _ in stated if contact})
    return changes


def _forget_erased_opt_outs(connection: Connection, contacts: set[str]) -> None:
    """A stored START or resume of an erased person is newer than the erasure, so it lifts the opt-out kept."""
    if not contacts or not erased_opt_outs.are_kept(connection):
        return
    known = holders(connection, contacts)
    most = most_read(known, contacts)
    shared = [key for key in most if known.changed_hands(key)]
    for each in (*consent.preferences(connection, most, shared), *consent.keywords(connection, most, shared)):
        if scope := _RESUMED_SCOPES.get(each.statement.kind):
            person = known.holder(each.contact, each.statement.occurred_at)
            erased_opt_outs.forget(connection, person.keys, numbers_reaching(each.phone_number_id), scope)
