"""The log of notifications for people: states, tries, and retries on request. Sending uses the outbox instead."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_TRIES_SHOWN = 10

_STATES = {
    "waiting": "n.sent_at IS NULL AND n.failed_at IS NULL",
    "sent": "n.sent_at IS NOT NULL",
    "failed": "n.sent_at IS NULL AND n.failed_at IS NOT NULL AND n.superseded_at IS NULL",
    "superseded": "n.sent_at IS NULL AND n.superseded_at IS NOT NULL",
}
_STATE = " ".join(f"WHEN {condition} THEN '{state}'" for state, condition in _STATES.items())
_COLUMNS = f"""
n.id, n.incident_id, n.channel, n.reason, CASE {_STATE} END AS state, n.created_at,
CASE WHEN {_STATES["waiting"]} THEN greatest(n.next_try_at, n.leased_until) END AS next_try_at,
n.sent_at, n.failed_at, n.rerouted_at, n.tries, n.last_error
"""
_TRIES = text(f"""
SELECT n.id, t.started_at, t.ended_at, t.outcome, t.error FROM unnest(CAST(:ids AS bigint[])) AS n (id),
LATERAL (SELECT * FROM notification_tries WHERE notification_id = n.id ORDER BY id DESC LIMIT {_TRIES_SHOWN}) t
""")
_RETRY = text(f"""
UPDATE notifications n SET failed_at = NULL, rerouted_at = NULL, next_try_at = :now, retried_at = :now
WHERE n.id = :id AND {_STATES["failed"]}
""")


class NotificationTry(Struct, frozen=True):
    """One try; `outcome` is empty while it runs."""

    started_at: datetime
    ended_at: datetime | None
    outcome: str
    error: str


class NotificationLogEntry(Struct, frozen=True, kw_only=True):
    """One notification with its latest tries, newest first."""

    id: int
    incident_id: int
    channel: str
    reason: str
    state: str
    created_at: datetime
    next_try_at: datetime | None
    sent_at: datetime | None
    failed_at: datetime | None
    rerouted_at: datetime | None
    tries: int
    last_error: str
    latest_tries: list[NotificationTry]


def entries(
    connection: Connection,
    *,
    state: str | None = None,
    channel: str | None = None,
    incident_id: int | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[NotificationLogEntry]:
    """A page of matching notifications with an id below `before_id`, newest first."""
    wanted = ["true" if state is None else _STATES[state]]
    given = {"channel": channel, "incident_id": incident_id, "before_id": before_id}
    conditions = {
        "channel": "n.channel = :channel",
        "incident_id": "n.incident_id = :incident_id",
        "before_id": "n.id < :before_id",
    }
    wanted += [conditions[name] for name, value in given.items() if value is not None]
    return _read(connection, " AND ".join(wanted), given | {"limit": limit})


def entry(connection: Connection, notification_id: int) -> NotificationLogEntry | None:
    """The notification with this id; None if there is none."""
    return next(iter(_read(connection, "n.id = :id", {"id": notification_id, "limit": 1})), None)


def retry(connection: Connection, notification_id: int, now: datetime) -> bool:
    """Make a failed notification due now; False if it has not failed."""
    return connection.execute(_RETRY, {"id": notification_id, "now": now}).rowcount == 1


def _read(connection: Connection, condition: str, values: Mapping[str, object]) -> list[NotificationLogEntry]:
    statement = text(
        f"SELECT {_COLUMNS} FROM notifications n WHERE {condition} ORDER BY n.id DESC LIMIT :limit"
    )
    found = list(connection.execute(statement, values).mappings())
    tries: dict[int, list[NotificationTry]] = {row["id"]: [] for row in found}
    for number, *one in connection.execute(_TRIES, {"ids": list(tries)}):
        tries[number].append(NotificationTry(*one))
    return [NotificationLogEntry(**row, latest_tries=tries[row["id"]]) for row in found]
