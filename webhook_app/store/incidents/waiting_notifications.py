"""Notifications that their channel has not taken for long, or does not take any more. Nothing is sent here."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_WAITING = "sent_at IS NULL AND failed_at IS NULL"
_IS_FREE = "(leased_until IS NULL OR leased_until <= :now)"
_FIND = f"""
SELECT id, incident_id, channel, reason, payload, rerouted_at FROM notifications
WHERE {_WAITING} AND {{chosen}} ORDER BY id LIMIT :most
"""
_OVERDUE = text(_FIND.format(chosen=f"created_at <= :created_before AND rerouted_at IS NULL AND {_IS_FREE}"))
_OUTDATED = text(_FIND.format(chosen=f"coalesce(retried_at, created_at) < :created_before AND {_IS_FREE}"))
_WITHOUT_CHANNEL = text(_FIND.format(chosen="channel <> ALL (:set_up)"))
_MARK_OVERDUE = text(f"""
UPDATE notifications SET rerouted_at = :now
WHERE id = :id AND {_WAITING} AND rerouted_at IS NULL RETURNING last_error
""")
_FAIL = text(f"""
UPDATE notifications SET failed_at = :now, leased_until = NULL, last_error = :error
WHERE id = :id AND {_WAITING} AND {_IS_FREE}
""")
_MAKE_DUE = text(f"""
UPDATE notifications SET next_try_at = least(next_try_at, :now), leased_until = least(leased_until, :now)
WHERE {_WAITING} AND greatest(next_try_at, leased_until) > :now
""")


class WaitingNotification(Struct, frozen=True):
    """A waiting notification that its channel will not send, or has not sent for long."""

    id: int
    incident_id: int
    channel: str
    reason: str
    payload: dict[str, Any]
    rerouted_at: datetime | None


def overdue(
    connection: Connection, created_before: datetime, now: datetime, most: int
) -> list[WaitingNotification]:
    """Waiting notifications created until then that went to no other channel, oldest first, except leased ones."""
    values = {"created_before": created_before, "now": now, "most": most}
    return [WaitingNotification(*row) for row in connection.execute(_OVERDUE, values)]


def mark_overdue(connection: Connection, notification_id: int, now: datetime) -> str | None:
    """Record that another channel is notified too; returns the last fault, None if it is not waiting any more."""
    values = {"id": notification_id, "now": now}
    found: str | None = connection.execute(_MARK_OVERDUE, values).scalar_one_or_none()
    return found


def outdated(
    connection: Connection, created_before: datetime, now: datetime, most: int
) -> list[WaitingNotification]:
    """Waiting notifications created before then, on every channel, oldest first; leased ones are left out."""
    values = {"created_before": created_before, "now": now, "most": most}
    return [WaitingNotification(*row) for row in connection.execute(_OUTDATED, values)]


def without_channel(connection: Connection, set_up: Collection[str], most: int) -> list[WaitingNotification]:
    """Waiting notifications of channels that are no longer set up, oldest first."""
    values = {"set_up": list(set_up), "most": most}
    return [WaitingNotification(*row) for row in connection.execute(_WITHOUT_CHANNEL, values)]


def fail(connection: Connection, notification_id: int, now: datetime, error: str) -> bool:
    """Fail a notification without a try; False if it has ended meanwhile or is being sent."""
    return connection.execute(_FAIL, {"id": notification_id, "now": now, "error": error}).rowcount == 1


def make_due(connection: Connection, now: datetime) -> None:
    """Make all waiting notifications due, also those that are being sent."""
    connection.execute(_MAKE_DUE, {"now": now})
