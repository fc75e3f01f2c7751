"""Incidents as rows: one cause each, with the alerts that belong to it as evidence. Decides nothing.

What the evaluation writes and what people write (acknowledge, snooze) are different columns.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection


class Incident(Struct, frozen=True, kw_only=True):
    """One incident. `id` is 0 before it is stored. Rates are shares between 0 and 1.

    `attempts`, `failures`, `rate`, `low`, `high`: the leading alert now. `total_failures`, `contacts`: since its start.
    """

    id: int = 0
    kind: str
    title: str
    state: str = "open"
    severity: str
    domain: str
    account_wide: bool = False
    codes: list[int] = field(default_factory=list)
    """Leading codes, most failures first."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Accounts, numbers, templates and campaigns that fail, by dimension."""
    slice: dict[str, list[str]] | None = None
    began_at: datetime
    opened_at: datetime
    notified_at: datetime | None = None
    """The first notification; `last_notified_at` the latest."""
    last_notified_at: datetime | None = None
    notified_severity: str = ""
    repeats: int = 0
    again: int = 0
    """How often it opened again after its end."""
    ended_at: datetime | None = None
    ended_how: str = ""
    evaluated_at: datetime
    attempts: int = 0
    failures: int = 0
    rate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    threshold: float = 0.0
    window_minutes: int = 0
    worst_rate: float = 0.0
    worst_at: datetime | None = None
    total_failures: int = 0
    contacts: int = 0
    counted_at: datetime | None = None
    """When the two figures above were counted last."""
    advice: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    silenced_by: int | None = None
    finding_id: int | None = None
    """The finding it belongs to; it is not announced then."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    snoozed_until: datetime | None = None
    snoozed_by: str = ""

    @property
    def is_open(self) -> bool:
        return self.state == "open"


_BY_PEOPLE = {"acknowledged_at", "acknowledged_by", "snoozed_until", "snoozed_by"}
_FIELDS = [name for name in Incident.__struct_fields__ if name != "id"]
_EVALUATED = [name for name in _FIELDS if name not in _BY_PEOPLE]
_JSON = [bindparam(name, type_=JSONB(none_as_null=True)) for name in ("names", "slice", "details")]
_COLUMNS = ", ".join(["id", *_FIELDS])

_INSERT = text(
    f"INSERT INTO incidents ({', '.join(_FIELDS)}) VALUES ({', '.join(f':{name}' for name in _FIELDS)}) RETURNING id"
).bindparams(*_JSON)
_SAVE = text(
    f"UPDATE incidents SET {', '.join(f'{name} = :{name}' for name in _EVALUATED)} WHERE id = :id"
).bindparams(*_JSON)
_OPEN = text(f"SELECT {_COLUMNS} FROM incidents WHERE state = 'open' ORDER BY id")
_LOCK_OPEN = text(f"SELECT {_COLUMNS} FROM incidents WHERE state = 'open' ORDER BY id FOR UPDATE")
_ENDED = text(f"SELECT {_COLUMNS} FROM incidents WHERE ended_at >= :since ORDER BY id FOR UPDATE")
_OPEN_OR_ENDED = text(
    f"SELECT {_COLUMNS} FROM incidents WHERE state = 'open' OR ended_at >= :since ORDER BY began_at, id"
)
_GET = text(f"SELECT {_COLUMNS} FROM incidents WHERE id = :id")
_LIST = f"SELECT {_COLUMNS} FROM incidents WHERE true {{chosen}} ORDER BY id DESC LIMIT :limit"
_COUNT = text("SELECT severity, count(*) AS found FROM incidents WHERE state = 'open' GROUP BY severity")
_ACKNOWLEDGE = text("""
UPDATE incidents SET acknowledged_at = coalesce(acknowledged_at, :now),
       acknowledged_by = CASE WHEN acknowledged_at IS NULL THEN :by ELSE acknowledged_by END
WHERE id = :id AND state = 'open'
""")
_CLEAR_ACKNOWLEDGEMENT = text(
    "UPDATE incidents SET acknowledged_at = NULL, acknowledged_by = '' WHERE id = :id"
)
_SNOOZE = text(
    "UPDATE incidents SET snoozed_until = :until, snoozed_by = :by WHERE id = :id AND state = 'open'"
)


def insert(connection: Connection, incident: Incident) -> int:
    """Store a new incident and return its id."""
    return int(connection.execute(_INSERT, _values(incident)).scalar_one())


def save_all(connection: Connection, changed: Sequence[Incident]) -> None:
    """Write what an evaluation changes; acknowledgement and snooze stay as they are."""
    rows = [{name: getattr(each, name) for name in ("id", *_EVALUATED)} for each in changed]
    if rows:
        connection.execute(_SAVE, rows)


def open_incidents(connection: Connection, *, lock: bool = False) -> list[Incident]:
    """Every open incident, oldest first; with `lock` no other session changes them until the commit."""
    return _read(connection, _LOCK_OPEN if lock else _OPEN, {})


def count_open(connection: Connection) -> dict[str, int]:
    """The number of open incidents by severity."""
    return {row.severity: row.found for row in connection.execute(_COUNT)}


def ended_since(connection: Connection, since: datetime) -> list[Incident]:
    """Incidents that ended at `since` or later, locked until the commit: the same cause may open them again."""
    return _read(connection, _ENDED, {"since": since})


def open_or_ended_since(connection: Connection, since: datetime) -> list[Incident]:
    """Open incidents and those that ended at `since` or later, in the order in which they began."""
    return _read(connection, _OPEN_OR_ENDED, {"since": since})


def get(connection: Connection, incident_id: int) -> Incident | None:
    """The incident with this id."""
    return next(iter(_read(connection, _GET, {"id": incident_id})), None)


def list_incidents(
    connection: Connection,
    limit: int,
    *,
    state: str | None = None,
    severity: str | None = None,
    since: datetime | None = None,
    before_id: int | None = None,
) -> list[Incident]:
    """The newest incidents first, those with an id below `before_id`; `since`: not ended before it."""
    chosen = (
        (" AND state = :state" if state is not None else "")
        + (" AND severity = :severity" if severity is not None else "")
        + (" AND (ended_at IS NULL OR ended_at >= :since)" if since is not None else "")
        + (" AND id < :before_id" if before_id is not None else "")
    )
    given = {"state": state, "severity": severity, "since": since, "before_id": before_id}
    values = {name: value for name, value in given.items() if value is not None}
    return _read(connection, text(_LIST.format(chosen=chosen)), values | {"limit": limit})


def acknowledge(connection: Connection, incident_id: int, by: str, now: datetime) -> bool:
    """Record who takes care of it; the first name stays. False when it is not open."""
    return connection.execute(_ACKNOWLEDGE, {"id": incident_id, "by": by, "now": now}).rowcount == 1


def clear_acknowledgement(connection: Connection, incident_id: int) -> None:
    """Forget who acknowledged the incident, because it opens again."""
    connection.execute(_CLEAR_ACKNOWLEDGEMENT, {"id": incident_id})


def snooze(connection: Connection, incident_id: int, until: datetime, by: str) -> bool:
    """Send no reminders before `until`. False when the incident is not open."""
    return connection.execute(_SNOOZE, {"id": incident_id, "until": until, "by": by}).rowcount == 1


def lock(connection: Connection, incident_ids: Collection[int]) -> None:
    """Let no other session change these incidents until the commit."""
    statement = text("SELECT id FROM incidents WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
    connection.execute(statement, {"ids": list(incident_ids)})


def _values(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in _FIELDS}


def _read(connection: Connection, statement: Any, values: dict[str, Any]) -> list[Incident]:
    return [Incident(**row) for row in connection.execute(statement, values).mappings()]
