"""Alerts as rows: at most one open alert per rule and group, kept after it is resolved as evidence of its incident."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field, json, structs, to_builtins
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.rules.incidents.index_keys import index_key
from webhook_app.store.postgres.engine import Connection

OPEN = ("pending", "firing")


class Alert(Struct, frozen=True, kw_only=True):
    """One alert. `id` is 0 before it is stored; the figures are those of the last evaluation."""

    id: int = 0
    rule: str
    kind: str
    severity: str
    state: str
    group: dict[str, str | int]
    codes: list[int]
    evaluations_above: int = 0
    evaluations_below: int = 0
    attempts: int = 0
    failures: int = 0
    rate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    threshold: float = 0.0
    window_minutes: int = 0
    explanation: dict[str, Any] = field(default_factory=dict)
    covers_from: datetime
    started_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    evaluated_at: datetime
    incident_id: int | None = None
    """Set when it fires. It changes once more shows an alert of an incident that gathers what API keys report."""
    ended_how: str = ""
    webhook_codes: list[int] | None = None
    """The codes for which webhooks alone showed it; empty: only reports of senders do. None: it rests on no reports."""
    webhooks_until: datetime | None = None
    """Since when only reports of senders show it; None while webhooks do."""

    @property
    def group_key(self) -> str:
        return group_key(self.group)


_FIXED = {"id", "rule", "group", "started_at", "covers_from"}
_EVALUATED = [name for name in Alert.__struct_fields__ if name not in _FIXED]
_AND = '", "'  # between quoted names: `group` is a word of SQL
_NEW = [name for name in Alert.__struct_fields__ if name != "id"]
_SELECT = f'SELECT "{_AND.join(Alert.__struct_fields__)}" FROM alerts'

# The states are literals, not parameters: once the statement is prepared, Postgres plans it without their values, and
# a generic plan cannot use the partial index.
_IS_OPEN = "state IN ('pending', 'firing')"
_INSERTED = f'"{_AND.join(_NEW)}", group_key'
_INSERT = text(
    f"INSERT INTO alerts ({_INSERTED})"
    f" SELECT {_INSERTED} FROM jsonb_populate_recordset(CAST(NULL AS alerts), CAST(:rows AS jsonb))"
    f" ON CONFLICT (rule, group_key) WHERE {_IS_OPEN} DO NOTHING RETURNING rule, group_key, id"
)
_FIGURES = [name for name in _EVALUATED if name != "explanation"]
_UPDATE = text(
    f"UPDATE alerts SET {', '.join(f'{name} = :{name}' for name in _EVALUATED)} WHERE id = :id"
).bindparams(bindparam("explanation", type_=JSONB))
_UPDATE_FIGURES = text(
    f"UPDATE alerts SET {', '.join(f'{name} = :{name}' for name in _FIGURES)} WHERE id = :id"
)
_OPEN = f"{_SELECT} WHERE {_IS_OPEN} ORDER BY id"
_DELETE_PENDING = text("DELETE FROM alerts WHERE id = :id AND state = 'pending'")
_OF_INCIDENTS = text(f"{_SELECT} WHERE incident_id = ANY(:ids) ORDER BY id")
_BRIEF = _SELECT.replace('"explanation"', "'{}'::jsonb AS explanation")
_OF_KINDS = text(f"{_BRIEF} WHERE incident_id = ANY(:ids) AND kind = ANY(:kinds) ORDER BY id")
_OPEN_OF_KINDS = text(f"{_BRIEF} WHERE {_IS_OPEN} AND state = :state AND kind = ANY(:kinds) ORDER BY id")
_ENDED = text("""
SELECT a.incident_id, i.codes, i.names, least(min(a.covers_from), i.began_at) AS start, max(a.resolved_at) AS end,
       jsonb_agg(a."group") AS groups,
       max(coalesce(a.webhooks_until, a.resolved_at)) FILTER (WHERE a.webhook_codes IS DISTINCT FROM '{}'),
       jsonb_agg(a."group") FILTER (WHERE a.webhook_codes IS DISTINCT FROM '{}')
FROM alerts a JOIN incidents i ON i.id = a.incident_id
WHERE a.state = 'resolved' AND a.resolved_at >= :since AND i.codes <> '{}'
GROUP BY a.incident_id, i.codes, i.names, i.began_at ORDER BY a.incident_id
""")
_LAST_ENDS = text("""
SELECT rule, group_key, max(resolved_at) FROM alerts
WHERE state = 'resolved' AND ended_how <> 'quiet' AND resolved_at >= :since AND kind = ANY(:kinds)
GROUP BY rule, group_key
""")
_MANY = text(f"""
SELECT rule FROM alerts WHERE {_IS_OPEN} AND kind = ANY(:kinds)
GROUP BY rule HAVING count(*) >= :most ORDER BY rule
""")
_GET = text(f"{_SELECT} WHERE id = :id")


def group_key(group: Mapping[str, str | int]) -> str:
    """The key of the group, which the unique index compares."""
    return index_key(group)


def open_alerts(connection: Connection, *, lock: bool = False) -> list[Alert]:
    """Every pending and firing alert, oldest first; with `lock`, locked until the commit."""
    return _read(connection, _OPEN + (" FOR UPDATE" if lock else ""))


def insert_new(connection: Connection, alert: Alert) -> int | None:
    """Store a new alert; None if another transaction has just opened it. Waits for that transaction's commit."""
    return insert_all(connection, [alert])[0]


def insert_all(connection: Connection, new: Sequence[Alert]) -> list[int | None]:
    """Store new alerts, as `insert_new` does, in one statement."""
    rows = [to_builtins(alert) | {"group_key": alert.group_key} for alert in new]
    inserted = connection.execute(_INSERT, {"rows": json.encode(rows).decode()})
    ids = {(rule, key): alert_id for rule, key, alert_id in inserted}
    return [ids.get((alert.rule, alert.group_key)) for alert in new]


def save(connection: Connection, alert: Alert) -> None:
    """Write the columns that an evaluation changes."""
    save_all(connection, [alert])


def save_all(connection: Connection, changed: Sequence[Alert], *, explained: Collection[int] = ()) -> None:
    """Write the columns that an evaluation changes, for several alerts.

    `explained`: the ids of alerts whose explanation is as stored. It is not written again, because it can be long.
    """
    for statement, names, is_explained in ((_UPDATE, _EVALUATED, False), (_UPDATE_FIGURES, _FIGURES, True)):
        alike = (alert for alert in changed if (alert.id in explained) is is_explained)
        if rows := [{name: getattr(alert, name) for name in ("id", *names)} for alert in alike]:
            connection.execute(statement, rows)


def remove_pending(connection: Connection, alert_id: int) -> None:
    """Delete an alert that ended before it fired, and so before any notification."""
    connection.execute(_DELETE_PENDING, {"id": alert_id})


def of_incidents(connection: Connection, incident_ids: Sequence[int]) -> list[Alert]:
    """The alerts that belong to these incidents, oldest first."""
    return _read(connection, _OF_INCIDENTS, ids=list(incident_ids)) if incident_ids else []


def rules_with_many(connection: Connection, kinds: Sequence[str], most: int) -> list[str]:
    """The rules of these kinds that have so many open alerts, or more."""
    return list(connection.execute(_MANY, {"kinds": list(kinds), "most": most}).scalars())


def of_kinds(connection: Connection, incident_ids: Sequence[int], kinds: Sequence[str]) -> list[Alert]:
    """The alerts of these kinds that belong to these incidents, oldest first, without their explanations."""
    return _read(connection, _OF_KINDS, ids=list(incident_ids), kinds=list(kinds)) if incident_ids else []


def pending_of_kinds(connection: Connection, kinds: Sequence[str]) -> list[Alert]:
    """The pending alerts of these kinds, oldest first, without their explanations."""
    return _read(connection, _OPEN_OF_KINDS, state="pending", kinds=list(kinds))


def firing_of_kinds(connection: Connection, kinds: Sequence[str]) -> list[Alert]:
    """The firing alerts of these kinds, oldest first, without their explanations."""
    return _read(connection, _OPEN_OF_KINDS, state="firing", kinds=list(kinds))


class EndedFailures(Struct, frozen=True):
    """The failures that resolved alerts of one incident held: they do not count again."""

    incident_id: int
    codes: list[int]
    names: dict[str, list[str]]
    start: datetime
    end: datetime
    groups: list[dict[str, str | int]]
    shown_until: datetime | None
    """Until when more than reports of senders showed one of the alerts; None: never."""
    shown_groups: list[dict[str, str | int]] | None
    """The groups of the alerts that more than reports of senders showed."""

    @property
    def of_webhooks(self) -> "EndedFailures | None":
        """What the alerts held that more than reports of senders showed; None without one."""
        if self.shown_until is None or not self.shown_groups:
            return None
        if (self.shown_until, self.shown_groups) == (self.end, self.groups):
            return self
        return structs.replace(self, end=self.shown_until, groups=self.shown_groups)


def ended_failures(connection: Connection, since: datetime) -> list[EndedFailures]:
    """What alerts held that were resolved at `since` or later, by incident."""
    return [EndedFailures(*row) for row in connection.execute(_ENDED, {"since": since})]


def last_ends(
    connection: Connection, kinds: Sequence[str], since: datetime
) -> dict[tuple[str, str], datetime]:
    """When the last alert of each rule and group of these kinds was resolved, at `since` or later.

    Without those that went quiet: whether their cause is over is unknown.
    """
    rows = connection.execute(_LAST_ENDS, {"kinds": list(kinds), "since": since})
    return {(rule, key): resolved_at for rule, key, resolved_at in rows}


def get_alert(connection: Connection, alert_id: int) -> Alert | None:
    """The alert with this id, open or resolved."""
    found = _read(connection, _GET, id=alert_id)
    return found[0] if found else None


def list_alerts(
    connection: Connection,
    state: str | None = None,
    limit: int = 50,
    before_id: int | None = None,
    *,
    severity: str | None = None,
    kind: str | None = None,
    rule: str | None = None,
) -> list[Alert]:
    """A page of matching alerts with an id below `before_id`, newest first."""
    given = {"state": state, "severity": severity, "kind": kind, "rule": rule}
    values = {name: value for name, value in given.items() if value is not None}
    conditions = [f"{name} = :{name}" for name in values] + (
        ["id < :before_id"] if before_id is not None else []
    )
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = f"{_SELECT}{where} ORDER BY id DESC LIMIT :limit"
    return _read(connection, statement, **values, before_id=before_id, limit=limit)


def _read(connection: Connection, statement: TextClause | str, **values: object) -> list[Alert]:
    wanted = text(statement) if isinstance(statement, str) else statement
    return [Alert(**row) for row in connection.execute(wanted, values).mappings()]
