"""Changes of suppressions: the audit and the change feed in one. Rows are added and never changed.

Only store/suppressions/suppressions calls `record`, and holds CHANGES_LOCK, so that the numbers have no gaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct, json
from msgspec.structs import asdict, replace
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.events import NO_CODE

SYSTEM = "system"
"""The actor of changes made by a rule."""
PERSON = "person"
"""The actor of changes that the contact asked for."""


Row = TypeVar("Row", bound=Struct)
Key = tuple[str, str, str, str]
"""contact, phone_number_id, scope, reason."""

_NO_END = 2**63 - 1


class ChangeEvidence(Struct, frozen=True, omit_defaults=True):
    """One event that supports a suppression."""

    occurred_at: datetime
    message_id: str = ""
    code: int = NO_CODE
    campaign: str = ""
    what: str = "failed"
    reported_by: str = ""
    """The key whose report it is; empty: a webhook's."""
    contact: str = ""
    """The key it happened under; empty: the contact of the suppression."""


class SuppressionChange(Struct, frozen=True, kw_only=True):
    """One change. `action`: suppress, extend (any change of the row), half_open, lift, expire, restore (its end was
    undone) or erase.

    It holds the whole row after the change, or as it was when it ended. An erase names no contact: a person's changes
    were deleted.
    """

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
    evidence: tuple[ChangeEvidence, ...]
    since: datetime | None = None
    half_open_at: datetime | None = None
    seen_as: str = ""
    review: bool = False
    batch: str = ""

    @property
    def key(self) -> Key:
        return self.contact, self.phone_number_id, self.scope, self.reason


def based_on(row: "HasEvidence") -> tuple[str, datetime]:
    """The key and time of the latest evidence, which show whose suppression it is. Requires evidence."""
    last = max(row.evidence, key=lambda evidence: evidence.occurred_at)
    return last.contact or row.contact, last.occurred_at


class HasEvidence(Protocol):
    """A suppression, or a change of one."""

    @property
    def contact(self) -> str: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def evidence(self) -> tuple[ChangeEvidence, ...]: ...


ENDED = ("lift", "expire")
"""Actions after which the row is gone."""

_NAMES = SuppressionChange.__struct_fields__
_COLUMNS = ", ".join(_NAMES)
_READ_COLUMNS = _COLUMNS.replace("evidence", "CAST(evidence AS text) AS evidence")
_evidence_of = json.Decoder(tuple[ChangeEvidence, ...]).decode
_RECORD = text(
    f"INSERT INTO suppression_changes ({_COLUMNS}) VALUES (:seq, :at, :action, :contact, :phone_number_id,"
    " :scope, :reason, :code, :until, :times, :actor, :note, CAST(:evidence AS jsonb), :since, :half_open_at,"
    " :seen_as, :review, :batch)"
)
_HISTORY = text(
    f"SELECT {_READ_COLUMNS} FROM suppression_changes WHERE contact = :contact ORDER BY seq DESC LIMIT :limit"
)
_SINCE = text(f"SELECT {_READ_COLUMNS} FROM suppression_changes WHERE seq > :seq ORDER BY seq LIMIT :limit")
# A lift by a rule follows from stored events, which can be read again; an expiry or a person's decision does not.
_ENDINGS = text(
    f"SELECT {_READ_COLUMNS} FROM ("
    "SELECT DISTINCT ON (contact, phone_number_id, scope, reason, holder) * FROM ("
    "SELECT *, CASE WHEN contact = ANY(:shared) THEN since END AS holder FROM suppression_changes"
    " WHERE contact = ANY(:contacts)"
    " AND (action IN ('expire', 'restore') OR (action = 'lift' AND actor NOT IN (:system, :person)))"
    ") AS ends ORDER BY contact, phone_number_id, scope, reason, holder, seq DESC) AS latest WHERE action <> 'restore'"
)
_LATEST_SEQ = text("SELECT coalesce(max(seq), 0) FROM suppression_changes")
_BATCH = text(
    f"SELECT {_READ_COLUMNS} FROM suppression_changes WHERE batch = :batch AND batch <> '' AND seq < :before"
    " ORDER BY seq DESC LIMIT :limit"
)
_AT = text(f"SELECT {_READ_COLUMNS} FROM suppression_changes WHERE seq = ANY(:seqs) ORDER BY seq DESC")
_BEFORE = text(
    f"SELECT {_READ_COLUMNS} FROM ("
    "SELECT c.* FROM unnest(CAST(:contacts AS text[]), CAST(:numbers AS text[]), CAST(:scopes AS text[]),"
    "             CAST(:reasons AS text[]), CAST(:seqs AS bigint[]))"
    "   AS w(contact, phone_number_id, scope, reason, seq)"
    " CROSS JOIN LATERAL (SELECT * FROM suppression_changes c WHERE c.contact = w.contact AND c.seq < w.seq"
    "   AND c.phone_number_id = w.phone_number_id AND c.scope = w.scope AND c.reason = w.reason"
    "   ORDER BY c.seq DESC LIMIT 1) AS c) AS before"
)


def history(connection: Connection, contact: str, limit: int = 100) -> list[SuppressionChange]:
    """The changes of this key, newest first."""
    return _read(connection.execute(_HISTORY, {"contact": contact, "limit": limit}).all())


def changes_since(connection: Connection, seq: int, limit: int) -> list[SuppressionChange]:
    """The changes after `seq`, in order. There are no gaps that could be filled later."""
    return _read(connection.execute(_SINCE, {"seq": seq, "limit": limit}).all())


def latest(
    connection: Connection,
    limit: int,
    before: int | None = None,
    *,
    contacts: Sequence[str] | None = None,
    batch: str = "",
) -> list[SuppressionChange]:
    """A page of changes with a number below `before`, newest first; of these keys or of one batch, if given."""
    chosen = "" if contacts is None else " AND contact = ANY(:contacts)"
    chosen += " AND batch = :batch AND batch <> ''" if batch else ""
    statement = (
        f"SELECT {_READ_COLUMNS} FROM suppression_changes WHERE seq < :before{chosen}"
        " ORDER BY seq DESC LIMIT :limit"
    )
    values: dict[str, Any] = {"before": _NO_END if before is None else before, "limit": limit}
    values |= {} if contacts is None else {"contacts": list(contacts)}
    values |= {"batch": batch} if batch else {}
    return _read(connection.execute(text(statement), values).all())


def endings(
    connection: Connection, contacts: Sequence[str], shared: Sequence[str] = ()
) -> list[SuppressionChange]:
    """The last end of each suppression of these keys, by expiry or by a person's decision.

    Of keys that several people held, `shared`, the last end of each of their suppressions.
    """
    values = {"contacts": list(contacts), "shared": list(shared), "system": SYSTEM, "person": PERSON}
    return _read(connection.execute(_ENDINGS, values).all())


def of_batch(connection: Connection, batch: str, before: int | None, limit: int) -> list[SuppressionChange]:
    """A page of the changes of a batch with a number below `before`, newest first."""
    values = {"batch": batch, "before": _NO_END if before is None else before, "limit": limit}
    return _read(connection.execute(_BATCH, values).all())


def at_seqs(connection: Connection, seqs: Sequence[int]) -> list[SuppressionChange]:
    """The changes with these numbers, newest first."""
    return _read(connection.execute(_AT, {"seqs": list(seqs)}).all())


def before_many(connection: Connection, seqs: Mapping[Key, int | None]) -> dict[Key, SuppressionChange]:
    """The latest change of each suppression with a number below the given one; None: no limit."""
    if not seqs:
        return {}
    contacts, numbers, scopes, reasons = map(list, zip(*seqs, strict=True))
    values: dict[str, Any] = {"contacts": contacts, "numbers": numbers, "scopes": scopes, "reasons": reasons}
    values["seqs"] = [_NO_END if seq is None else seq for seq in seqs.values()]
    return {change.key: change for change in _read(connection.execute(_BEFORE, values).all())}


def record(connection: Connection, changes: Sequence[SuppressionChange]) -> list[SuppressionChange]:
    """Append the changes with the next numbers; the caller holds CHANGES_LOCK."""
    if not changes:
        return []
    last = latest_seq(connection)
    numbered = [replace(change, seq=last + place) for place, change in enumerate(changes, 1)]
    connection.execute(_RECORD, [_values(change) for change in numbered])
    return numbered


def latest_seq(connection: Connection) -> int:
    """The number of the latest change; 0 before the first."""
    return int(connection.execute(_LATEST_SEQ).scalar_one())


def _values(change: SuppressionChange) -> dict[str, Any]:
    return asdict(change) | {"evidence": json.encode(change.evidence).decode()}


def rows_as(kind: type[Row], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """Convert rows whose columns are the fields of `kind`, with `evidence` as JSON text. Fast, for many rows."""
    names, found = kind.__struct_fields__, []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        values["evidence"] = _evidence_of(values["evidence"])
        found.append(kind(**values))
    return found


def _read(rows: Iterable[Sequence[Any]]) -> list[SuppressionChange]:
    return rows_as(SuppressionChange, rows)
