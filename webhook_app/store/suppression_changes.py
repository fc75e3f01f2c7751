"""The record of every change to a suppression: audit and change feed in one. Lines are added, never changed.

`record` is called by store/suppressions alone, which holds CHANGES_LOCK: so the numbers have no gap.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, convert, json
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, RowMapping, text

from webhook_app.whatsapp.events import NO_CODE

SYSTEM = "system"
"""The actor of what a rule did."""
PERSON = "person"
"""The actor of what the contact itself asked for."""


class Evidence(Struct, frozen=True, omit_defaults=True):
    """One event that speaks for a suppression."""

    occurred_at: datetime
    message_id: str = ""
    code: int = NO_CODE
    campaign: str = ""
    what: str = "failed"


class Change(Struct, frozen=True, kw_only=True):
    """One line. `action`: suppress, extend (anything about the suppression changed), lift or expire."""

    seq: int
    at: datetime
    action: str
    contact: str
    phone_number_id: str
    scope: str
    reason: str
    code: int
    until: datetime | None
    times: int
    actor: str
    note: str
    evidence: tuple[Evidence, ...]


_COLUMNS = ", ".join(Change.__struct_fields__)
_RECORD = text(
    f"INSERT INTO suppression_changes ({_COLUMNS}) VALUES (:seq, :at, :action, :contact, :phone_number_id,"
    " :scope, :reason, :code, :until, :times, :actor, :note, CAST(:evidence AS jsonb))"
)
_HISTORY = text(
    f"SELECT {_COLUMNS} FROM suppression_changes WHERE contact = :contact ORDER BY seq DESC LIMIT :limit"
)
_SINCE = text(f"SELECT {_COLUMNS} FROM suppression_changes WHERE seq > :seq ORDER BY seq LIMIT :limit")
# What a rule lifts follows from the facts and is found in them again; what ran out or was decided is not.
_ENDINGS = text(
    f"SELECT DISTINCT ON (contact, phone_number_id, scope, reason) {_COLUMNS} FROM suppression_changes"
    " WHERE contact = ANY(:contacts)"
    " AND (action = 'expire' OR (action = 'lift' AND actor NOT IN (:system, :person)))"
    " ORDER BY contact, phone_number_id, scope, reason, seq DESC"
)


def history(connection: Connection, contact: str, limit: int = 100) -> list[Change]:
    """What happened to this key, the latest first."""
    return _read(connection.execute(_HISTORY, {"contact": contact, "limit": limit}).mappings().all())


def changes_since(connection: Connection, seq: int, limit: int) -> list[Change]:
    """The changes after `seq`, in the order they were made. A gap never fills later: there is none."""
    return _read(connection.execute(_SINCE, {"seq": seq, "limit": limit}).mappings().all())


def endings(connection: Connection, contacts: Sequence[str]) -> list[Change]:
    """How each suppression of these keys last ended by running out or by somebody's decision."""
    values = {"contacts": list(contacts), "system": SYSTEM, "person": PERSON}
    return _read(connection.execute(_ENDINGS, values).mappings().all())


def record(connection: Connection, changes: Sequence[Change]) -> list[Change]:
    """Append these with the next free numbers; the caller holds CHANGES_LOCK."""
    if not changes:
        return []
    last = connection.execute(text("SELECT coalesce(max(seq), 0) FROM suppression_changes")).scalar_one()
    numbered = [replace(change, seq=last + place) for place, change in enumerate(changes, 1)]
    connection.execute(_RECORD, [_values(change) for change in numbered])
    return numbered


def _values(change: Change) -> dict[str, Any]:
    return asdict(change) | {"evidence": json.encode(change.evidence).decode()}


def _read(rows: Sequence[RowMapping]) -> list[Change]:
    return [
        Change(**(dict(row) | {"evidence": convert(row["evidence"], tuple[Evidence, ...])})) for row in rows
    ]


def latest_seq(connection: Connection) -> int:
    """The number of the latest change, 0 before the first."""
    found = connection.execute(text("SELECT coalesce(max(seq), 0) FROM suppression_changes"))
    return int(found.scalar_one())
