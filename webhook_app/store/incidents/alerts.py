"""Alerts as rows: one open incident per rule and group, kept after it is over. Nothing is decided here.

What the evaluation writes and what people write (acknowledge, snooze) are different columns.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from json import JSONEncoder
from typing import Any

from msgspec import Struct, field
from sqlalchemy import bindparam, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.schema import alerts

OPEN = ("pending", "firing")

_spell = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Alert(Struct, frozen=True, kw_only=True):
    """One incident. `id` is 0 before it is stored; the figures are those of the last evaluation."""

    id: int = 0
    rule: str
    kind: str
    severity: str
    state: str
    group: dict[str, str | int]
    codes: list[int]
    evaluations_above: int = 0
    evaluations_below: int = 0
    repeats: int = 0
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
    notified_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    notified_severity: str = ""
    muted_by: int | None = None
    muted_why: str = ""

    @property
    def group_key(self) -> str:
        return group_key(self.group)


_PEOPLES = {"acknowledged_at", "acknowledged_by", "snoozed_until", "snoozed_by"}
_IDENTITY = {"id", "rule", "group", "started_at", "covers_from"}
_EVALUATED = [name for name in Alert.__struct_fields__ if name not in _PEOPLES | _IDENTITY]
_COLUMNS = [alerts.c[name] for name in Alert.__struct_fields__]


def group_key(group: Mapping[str, str | int]) -> str:
    """The group in the one spelling that the unique index compares."""
    return _spell(group)


def open_alerts(connection: Connection, *, lock: bool = False) -> list[Alert]:
    """Every pending and firing alert, oldest first; with `lock` nobody else changes them until the commit."""
    wanted = select(*_COLUMNS).where(alerts.c.state.in_(OPEN)).order_by(alerts.c.id)
    if lock:
        wanted = wanted.with_for_update()
    return [Alert(**row) for row in connection.execute(wanted).mappings()]


# Literally, not as parameters: once the statement is prepared, after some alerts on one connection, Postgres plans it
# without their values and does not find the partial index any more.
_IS_OPEN = text("state IN ('pending', 'firing')")


def insert_new(connection: Connection, alert: Alert) -> int | None:
    """Open the incident; None when somebody else has just opened it. Waits for a rival's commit."""
    values = {name: getattr(alert, name) for name in Alert.__struct_fields__ if name != "id"}
    opened = (
        insert(alerts)
        .values(group_key=alert.group_key, **values)
        .on_conflict_do_nothing(index_elements=["rule", "group_key"], index_where=_IS_OPEN)
        .returning(alerts.c.id)
    )
    return connection.execute(opened).scalar_one_or_none()


def save(connection: Connection, alert: Alert) -> None:
    """Write what an evaluation changes; acknowledgement and snooze stay as they are."""
    values = {name: getattr(alert, name) for name in _EVALUATED}
    connection.execute(update(alerts).where(alerts.c.id == alert.id).values(values))


def save_all(connection: Connection, changed: Sequence[Alert]) -> None:
    """The same for many."""
    if not changed:
        return
    statement = (
        update(alerts)
        .where(alerts.c.id == bindparam("of_id"))
        .values({name: bindparam(f"new_{name}", type_=alerts.c[name].type) for name in _EVALUATED})
    )
    rows = [
        {"of_id": alert.id} | {f"new_{name}": getattr(alert, name) for name in _EVALUATED}
        for alert in changed
    ]
    connection.execute(statement, rows)


def remove_pending(connection: Connection, alert_id: int) -> None:
    """Forget an alert that went quiet before it fired: nobody was told of it."""
    connection.execute(delete(alerts).where(alerts.c.id == alert_id, alerts.c.state == "pending"))


def acknowledge(connection: Connection, alert_id: int, by: str, now: datetime) -> bool:
    """Somebody takes care of it: no more reminders. The first name stays. False when it is not open."""
    statement = text(
        "UPDATE alerts SET acknowledged_at = coalesce(acknowledged_at, :now),"
        " acknowledged_by = CASE WHEN acknowledged_at IS NULL THEN :by ELSE acknowledged_by END"
        " WHERE id = :id AND state IN ('pending', 'firing')"
    )
    return connection.execute(statement, {"id": alert_id, "by": by, "now": now}).rowcount == 1


def snooze(connection: Connection, alert_id: int, until: datetime, by: str = "") -> bool:
    """No reminders before `until`. False when the alert is not open."""
    statement = update(alerts).where(alerts.c.id == alert_id, alerts.c.state.in_(OPEN))
    return connection.execute(statement.values(snoozed_until=until, snoozed_by=by)).rowcount == 1


def ended_since(connection: Connection, since: datetime) -> list[Alert]:
    """Alerts that people were told of and that were resolved after `since`."""
    wanted = select(*_COLUMNS).where(alerts.c.resolved_at >= since, alerts.c.notified_at.is_not(None))
    return [Alert(**row) for row in connection.execute(wanted.order_by(alerts.c.id)).mappings()]


def last_similar(connection: Connection, alert: Alert) -> Alert | None:
    """The latest alert of the same rule and group that fired and is over."""
    wanted = (
        select(*_COLUMNS)
        .where(
            alerts.c.rule == alert.rule,
            alerts.c.group_key == alert.group_key,
            alerts.c.state == "resolved",
            alerts.c.fired_at.is_not(None),
            alerts.c.id != alert.id,
        )
        .order_by(alerts.c.id.desc())
        .limit(1)
    )
    row = connection.execute(wanted).mappings().one_or_none()
    return Alert(**row) if row else None


def get_alert(connection: Connection, alert_id: int) -> Alert | None:
    """The alert with this id, open or over."""
    wanted = select(*_COLUMNS).where(alerts.c.id == alert_id)
    row = connection.execute(wanted).mappings().one_or_none()
    return Alert(**row) if row else None


def lock(connection: Connection, alert_id: int) -> None:
    """Nobody else changes this alert, or what it tells, until the commit."""
    connection.execute(select(alerts.c.id).where(alerts.c.id == alert_id).with_for_update())


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
    """The newest alerts first, up to `limit`, those with an id under `before_id`."""
    wanted = select(*_COLUMNS).order_by(alerts.c.id.desc()).limit(limit)
    asked = {"state": state, "severity": severity, "kind": kind, "rule": rule}
    for name, value in asked.items():
        if value is not None:
            wanted = wanted.where(alerts.c[name] == value)
    if before_id is not None:
        wanted = wanted.where(alerts.c.id < before_id)
    return [Alert(**row) for row in connection.execute(wanted).mappings()]


def explaining(connection: Connection, since: datetime) -> list[Alert]:
    """Alerts that may account for failures after `since`: open ones, and fired ones that ended after it."""
    still = or_(alerts.c.state.in_(OPEN), alerts.c.resolved_at >= since)
    wanted = select(*_COLUMNS).where(still).order_by(alerts.c.id)
    return [Alert(**row) for row in connection.execute(wanted).mappings()]
