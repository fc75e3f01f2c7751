"""Suppressions: contacts that must not be messaged, with reason, time and actor.

Rows change only in `apply`, together with their entry in the change feed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, json
from msgspec.structs import asdict, replace
from sqlalchemy import TextClause, text

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import (
    PERSON,
    SYSTEM,
    ChangeEvidence,
    Key,
    SuppressionChange,
    changes_since,
    history,
    record,
    rows_as,
)
from webhook_app.whatsapp.events import NO_CODE

__all__ = [
    "ChangeEvidence",
    "Key",
    "Removal",
    "Suppression",
    "SuppressionChange",
    "apply",
    "changes_since",
    "get",
    "history",
    "lift",
    "lock_changes",
    "of_contacts",
    "put",
    "put_many",
]


class Suppression(Struct, frozen=True, kw_only=True):
    """One row. `phone_number_id` '': all business numbers. `review`: made by a rule and not confirmed by a person."""

    contact: str
    phone_number_id: str = ""
    scope: str = "all"
    reason: str = "manual"
    code: int = NO_CODE
    since: datetime
    until: datetime | None = None
    times: int = 1
    evidence: tuple[ChangeEvidence, ...] = ()
    seen_as: str = ""
    actor: str = ""
    note: str = ""
    review: bool = False
    half_open_at: datetime | None = None
    """When it expired; since then it waits for a probe."""
    probe_until: datetime | None = None
    """One message is allowed as the probe, and no other until then."""

    @property
    def key(self) -> Key:
        return self.contact, self.phone_number_id, self.scope, self.reason


class Removal(Struct, frozen=True):
    """A suppression to end. `action`: lift or expire."""

    suppression: Suppression
    action: str
    actor: str
    note: str = ""


_NAMES = Suppression.__struct_fields__
COLUMNS = ", ".join(_NAMES).replace("evidence", "CAST(evidence AS text) AS evidence")
"""SQL: the columns for `read`."""
ORDER = " ORDER BY contact, phone_number_id, scope, reason"
_KEY = ("contact", "phone_number_id", "scope", "reason")
_RECORDED = (*_KEY, "code", "until", "times", "evidence", "since", "half_open_at", "seen_as", "review")
_OF_CONTACTS = text(f"SELECT {COLUMNS} FROM suppressions WHERE contact = ANY(:contacts){ORDER}")
_DELETE = text(
    "DELETE FROM suppressions WHERE contact = :contact AND phone_number_id = :phone_number_id"
    " AND scope = :scope AND reason = :reason"
)
_STORE = text(
    f"INSERT INTO suppressions ({', '.join(_NAMES)}) VALUES (:contact, :phone_number_id, :scope, :reason, :code,"
    " :since, :until, :times, CAST(:evidence AS jsonb), :seen_as, :actor, :note, :review, :half_open_at, :probe_until)"
    " ON CONFLICT (contact, phone_number_id, scope, reason) DO UPDATE SET code = excluded.code,"
    " since = excluded.since, until = excluded.until, times = excluded.times, evidence = excluded.evidence,"
    " seen_as = excluded.seen_as, actor = excluded.actor, note = excluded.note, review = excluded.review,"
    " half_open_at = excluded.half_open_at, probe_until = excluded.probe_until"
)


def of_contacts(connection: Connection, contacts: Sequence[str]) -> list[Suppression]:
    """All rows of these keys, in the order of the primary key, expired or not."""
    return read(connection.execute(_OF_CONTACTS, {"contacts": list(contacts)}))


def get(connection: Connection, contact: str) -> list[Suppression]:
    """All rows of one key, expired or not."""
    return of_contacts(connection, [contact])


def put(
    connection: Connection,
    contact: str,
    *,
    phone_number_id: str = "",
    scope: str = "all",
    reason: str = "manual",
    until: datetime | None = None,
    seen_as: str = "",
    actor: str,
    note: str = "",
    now: datetime,
) -> Suppression:
    """Store a person's decision: add a row, or change and confirm the existing one and keep its evidence."""
    wanted = Suppression(
        contact=contact,
        phone_number_id=phone_number_id,
        scope=scope,
        reason=reason,
        since=now,
        until=until,
        seen_as=seen_as,
        actor=actor,
        note=note,
    )
    known = next((row for row in get(connection, contact) if row.key == wanted.key), None)
    wanted = _decided(wanted, known)
    apply(connection, [wanted], [], now)
    return wanted


def put_many(
    connection: Connection, wanted: Sequence[Suppression], now: datetime, *, batch: str, dry_run: bool = False
) -> list[Literal["added", "changed", "unchanged"]]:
    """Store many decisions of one actor as `put` does; returns each outcome in order, or with `dry_run` what it would
    be. What contacts asked for themselves does not end earlier: nobody looks at each row of a list.
    """
    if not dry_run and wanted:
        lock_changes(connection)
    known = {row.key: row for row in of_contacts(connection, [row.contact for row in wanted])}
    outcomes: list[Literal["added", "changed", "unchanged"]] = []
    changed: dict[Key, Suppression] = {}
    for asked in wanted:
        before = known.get(asked.key)
        row = _decided(asked, before)
        if before is not None and before.actor == PERSON:
            row = replace(row, actor=PERSON, until=_later(before.until, asked.until))
        outcomes.append("added" if before is None else "unchanged" if row == before else "changed")
        if row != before:
            known[row.key] = changed[row.key] = row
    if not dry_run:
        actor = wanted[0].actor if wanted else None
        apply(connection, list(changed.values()), [], now, batch=batch, actor=actor)
    return outcomes


def _decided(wanted: Suppression, known: Suppression | None) -> Suppression:
    """The stored row with the changes that an operator wants."""
    if known is None:
        return wanted
    return replace(
        known,
        until=wanted.until,
        actor=wanted.actor,
        note=wanted.note,
        review=False,
        half_open_at=None,
        probe_until=None,
        seen_as=wanted.seen_as or known.seen_as,
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def lift(
    connection: Connection,
    contact: str,
    phone_number_id: str | None,
    scope: str | None,
    reason: str | None,
    *,
    actor: str,
    note: str = "",
    now: datetime,
) -> list[Suppression]:
    """End all matching rows of this key (None matches any); returns the rows that ended."""
    asked = (phone_number_id, scope, reason)
    fitting = [
        row
        for row in get(connection, contact)
        if all(want in (None, has) for want, has in zip(asked, row.key[1:], strict=True))
    ]
    ended = apply(connection, [], [Removal(row, "lift", actor, note) for row in fitting], now)
    keys = {(c.contact, c.phone_number_id, c.scope, c.reason) for c in ended}
    return [row for row in fitting if row.key in keys]


def apply(
    connection: Connection,
    wanted: Sequence[Suppression],
    removals: Sequence[Removal],
    now: datetime,
    *,
    batch: str = "",
    restoring: bool = False,
    actor: str | None = None,
) -> list[SuppressionChange]:
    """Store and end rows, and record each actual change; returns the changes. `batch`: the batch they belong to.

    `actor`: who stores the rows, if not the actor whom each names.

    All other writers wait until the commit, so call it at the end of a transaction. A person's decision since a rule
    read the row wins over the rule.
    """
    if not wanted and not removals:
        return []
    lock_changes(connection)
    contacts = {row.contact for row in wanted} | {removal.suppression.contact for removal in removals}
    current = {row.key: row for row in of_contacts(connection, list(contacts))}
    ended = [
        replace(removal, suppression=known)
        for removal in removals
        if (known := current.get(removal.suppression.key)) and _may_end(removal, known, now)
    ]
    gone = {removal.suppression.key for removal in ended}
    changes = [_change(r.suppression, r.action, now, actor=r.actor, note=r.note) for r in ended]
    stored = []
    for row in wanted:
        known = None if row.key in gone else current.get(row.key)
        if row == known or not (restoring or _may_change(row, known)):
            continue
        stored.append(row)
        action = "restore" if restoring and known is None else _action(row, known)
        changes.append(_change(row, action, now, actor=actor))
    _execute_many(connection, _DELETE, [dict(zip(_KEY, r.suppression.key, strict=True)) for r in ended])
    _execute_many(connection, _STORE, [_values(row) for row in stored])
    return record(connection, [replace(change, batch=batch) for change in changes] if batch else changes)


def _action(row: Suppression, known: Suppression | None) -> str:
    if known is None:
        return "suppress"
    return "half_open" if row.half_open_at and not known.half_open_at else "extend"


def _may_change(row: Suppression, known: Suppression | None) -> bool:
    """False if a person decided since the row was read, or if half-opening is based on an outdated end."""
    if known and row.review and not known.review:
        return False
    return row.half_open_at is None or (
        known is not None and row.half_open_at in (known.until, known.half_open_at)
    )


def lock_changes(connection: Connection) -> None:
    """Keep other transactions from changing suppressions until the commit."""
    locks.hold_until_commit(connection, locks.CHANGES_LOCK)


def _may_end(removal: Removal, current: Suppression, now: datetime) -> bool:
    if removal.action == "expire":
        return current.until is not None and current.until <= now
    return removal.actor != SYSTEM or current.review == removal.suppression.review


def _change(
    row: Suppression, action: str, now: datetime, *, actor: str | None = None, note: str | None = None
) -> SuppressionChange:
    same = {name: getattr(row, name) for name in _RECORDED}
    changed_by = {"actor": row.actor if actor is None else actor, "note": row.note if note is None else note}
    return SuppressionChange(seq=0, at=now, action=action, **same | changed_by)


def _execute_many(connection: Connection, statement: TextClause, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _values(row: Suppression) -> dict[str, Any]:
    return asdict(row) | {"evidence": json.encode(row.evidence).decode()}


def read(rows: Iterable[Sequence[Any]]) -> list[Suppression]:
    """Convert the rows of a SELECT of COLUMNS."""
    return rows_as(Suppression, rows)
