"""The history of one alert: its notifications, and the suppressions that were undone because of it. Reads only."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_NOTIFICATIONS = text("""
SELECT channel, reason, created_at, sent_at, failed_at, superseded_at, rerouted_at, tries, last_error,
       coalesce(payload ->> 'actor', '') AS actor, CAST(payload ->> 'snoozed_until' AS timestamptz) AS snoozed_until,
       coalesce(payload ->> 'severity', '') AS severity
FROM notifications WHERE alert_id = :alert_id ORDER BY created_at, id LIMIT :limit
""")
_UNDONE = text("""
SELECT min(at) AS at, actor, count(*) FILTER (WHERE action = 'lift') AS lifted,
       count(*) FILTER (WHERE action <> 'lift') AS changed
FROM suppression_changes
WHERE batch >= :first AND batch < :last AND batch <> '' GROUP BY batch, actor ORDER BY 1
""")


class SentNotification(Struct, frozen=True, kw_only=True):
    """One notification of an alert on one channel; still to be sent if it is neither sent nor failed."""

    channel: str
    reason: str
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    superseded_at: datetime | None
    rerouted_at: datetime | None
    tries: int
    last_error: str
    actor: str
    snoozed_until: datetime | None
    severity: str


class UndoneBatch(Struct, frozen=True):
    """Suppressions that one person undid together because of the alert."""

    at: datetime
    actor: str
    lifted: int
    changed: int


def notifications_of(connection: Connection, alert_id: int, limit: int = 500) -> list[SentNotification]:
    """The notifications of the alert, oldest first."""
    rows = connection.execute(_NOTIFICATIONS, {"alert_id": alert_id, "limit": limit}).mappings()
    return [SentNotification(**row) for row in rows]


def undone_batches(connection: Connection, alert_id: int) -> list[UndoneBatch]:
    """The undone suppressions, oldest first."""
    values = {"first": f"alert:{alert_id}:", "last": f"alert:{alert_id};"}  # ';' follows ':'
    return [UndoneBatch(*row) for row in connection.execute(_UNDONE, values)]
