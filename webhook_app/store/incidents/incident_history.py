"""The history of one incident: its notifications, and the suppressions that were undone because of it. Reads only."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_NOTIFICATIONS = text("""
SELECT channel, reason, created_at, sent_at, failed_at, superseded_at, rerouted_at, tries, last_error,
       coalesce(payload ->> 'actor', '') AS actor, CAST(payload ->> 'snoozed_until' AS timestamptz) AS snoozed_until,
       coalesce(payload ->> 'severity', '') AS severity
FROM notifications WHERE incident_id = :incident_id ORDER BY created_at, id LIMIT :limit
""")
_UNDONE = text("""
SELECT min(at) AS at, actor, count(*) FILTER (WHERE action = 'lift') AS lifted,
       count(*) FILTER (WHERE action <> 'lift') AS changed
FROM suppression_changes
WHERE batch >= :first AND batch < :last AND batch <> '' GROUP BY batch, actor ORDER BY 1
""")


class SentNotification(Struct, frozen=True, kw_only=True):
    """One notification of an incident on one channel; still to be sent if it is neither sent nor failed."""

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
    """Suppressions that one person undid together because of the incident."""

    at: datetime
    actor: str
    lifted: int
    changed: int


def undo_batch_name(incident_id: int, unique: str) -> str:
    """The name of a batch of changes that undoes suppressions because of the incident."""
    return f"incident:{incident_id}:{unique}"


def notifications_of(connection: Connection, incident_id: int, limit: int = 500) -> list[SentNotification]:
    """The notifications of the incident, oldest first."""
    rows = connection.execute(_NOTIFICATIONS, {"incident_id": incident_id, "limit": limit}).mappings()
    return [SentNotification(**row) for row in rows]


def undone_batches(connection: Connection, incident_id: int) -> list[UndoneBatch]:
    """The undone suppressions, oldest first."""
    first = undo_batch_name(incident_id, "")
    values = {"first": first, "last": first.removesuffix(":") + ";"}  # ';' follows ':'
    return [UndoneBatch(*row) for row in connection.execute(_UNDONE, values)]
