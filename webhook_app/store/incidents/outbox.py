"""The outbox: notifications to send, by channel. A sender claims a row for a limited time; every try is a row too.

A claim that is never completed ends with its lease; the notification is then due again. Nothing is sent here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection

_ADD = text("""
INSERT INTO notifications (incident_id, channel, reason, sequence, payload, created_at, next_try_at)
SELECT :incident_id, :channel, :reason, coalesce(max(sequence), 0) + 1, :payload, :now, :now
FROM notifications WHERE incident_id = :incident_id AND channel = :channel
""").bindparams(bindparam("payload", type_=JSONB))

# A waiting reminder is superseded by any newer notification. One that is being sent stays.
_SUPERSEDE = text("""
UPDATE notifications SET failed_at = :now, superseded_at = :now WHERE id = ANY (ARRAY(
  SELECT id FROM notifications
  WHERE incident_id = :incident_id AND channel = :channel AND reason = 'repeated'
    AND sent_at IS NULL AND failed_at IS NULL AND (leased_until IS NULL OR leased_until <= :now)
  FOR UPDATE SKIP LOCKED))
""")
_SUPERSEDING = ("repeated", "escalated", "again", "resolved")

# A notification waits while an earlier one of the same incident and channel is neither sent nor failed.
_DUE = """
n.channel = :channel AND n.sent_at IS NULL AND n.failed_at IS NULL AND n.next_try_at <= :now
AND (n.leased_until IS NULL OR n.leased_until <= :now)
AND NOT EXISTS (SELECT FROM notifications e
                WHERE e.incident_id = n.incident_id AND e.channel = n.channel AND e.sequence < n.sequence
                  AND e.sent_at IS NULL AND e.failed_at IS NULL)
"""
# An incident with a message of its own is updated there, not in a digest. Findings are messages of their own.
_COLLAPSIBLE = """
NOT n.alone AND n.reason NOT IN ('finding', 'digest') AND NOT EXISTS (SELECT FROM channel_messages m
                            WHERE m.incident_id = n.incident_id AND m.channel = n.channel AND NOT m.shared)
"""
# Oldest first, but after five tries behind the others: the fault may be in this notification alone.
_CLAIM = """
WITH claimed AS (
  UPDATE notifications SET leased_until = :leased_until, tries = tries + 1
  WHERE id = ANY (ARRAY(
    SELECT n.id FROM notifications n WHERE {wanted} ORDER BY n.tries >= 5, n.id LIMIT :most FOR UPDATE SKIP LOCKED))
  RETURNING id, incident_id, channel, reason, payload, tries, created_at, rerouted_at
), tried AS (
  INSERT INTO notification_tries (notification_id, started_at) SELECT id, :now FROM claimed
  RETURNING id AS try_id, notification_id
)
SELECT c.id, c.incident_id, c.channel, c.reason, c.payload, c.tries, t.try_id, c.created_at, c.rerouted_at
FROM claimed c JOIN tried t ON t.notification_id = c.id ORDER BY c.id
"""
_CLAIM_ANY = text(_CLAIM.format(wanted=_DUE))
_CLAIM_COLLAPSIBLE = text(_CLAIM.format(wanted=f"{_DUE} AND {_COLLAPSIBLE}"))
_COUNT_COLLAPSIBLE = text(
    f"SELECT count(*) FROM (SELECT FROM notifications n WHERE {_DUE} AND {_COLLAPSIBLE} LIMIT :most) due"
)

_END_TRY = text(
    "UPDATE notification_tries SET ended_at = :at, outcome = :outcome, error = :error WHERE id = :try_id"
)
_SENT = text("""
UPDATE notifications SET sent_at = :at, failed_at = NULL, leased_until = NULL, last_error = '' WHERE id = :id
""")
# `tries` identifies the claim: one whose lease ran out must not overwrite the result of a later one.
_RETRY = text("""
UPDATE notifications SET next_try_at = :next_try_at, leased_until = NULL, last_error = :error, alone = alone OR :alone
WHERE id = :id AND tries = :tries AND sent_at IS NULL
""")
_FAILED = text("""
UPDATE notifications SET failed_at = :at, leased_until = NULL, last_error = :error
WHERE id = :id AND tries = :tries AND sent_at IS NULL
""")


_MARK_REROUTED = text("UPDATE notifications SET rerouted_at = :at WHERE id = :id")
_CHANNELS_FOR_EVENT = text("""
SELECT DISTINCT channel FROM notifications
WHERE incident_id = :incident_id AND reason = :reason AND payload ->> 'at' = :at
""")
_OPEN = text("""
SELECT DISTINCT ON (n.incident_id) n.payload FROM notifications n JOIN incidents i ON i.id = n.incident_id
WHERE n.channel = :channel AND n.sent_at IS NOT NULL AND i.state = 'open'
ORDER BY n.incident_id, n.sequence DESC
""")
_LAST_ADDED = text("SELECT max(created_at) FROM notifications WHERE incident_id = 0 AND reason = :reason")
_CHANNELS = text("SELECT DISTINCT channel FROM notifications WHERE incident_id = :id ORDER BY channel")
_LATEST = text("""
SELECT DISTINCT ON (channel) channel, payload FROM notifications WHERE incident_id = :id
ORDER BY channel, sequence DESC
""")
_BACKLOG = text("""
SELECT channel, count(*) FILTER (WHERE failed_at IS NULL),
       count(*) FILTER (WHERE failed_at >= :failed_since AND superseded_at IS NULL),
       min(created_at) FILTER (WHERE failed_at IS NULL)
FROM notifications WHERE sent_at IS NULL GROUP BY channel
""")
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


class Claim(Struct, frozen=True):
    """A notification leased to the caller for sending; its try is already recorded."""

    id: int
    incident_id: int
    channel: str
    reason: str
    payload: dict[str, Any]
    tries: int
    """This one included."""
    try_id: int
    created_at: datetime
    rerouted_at: datetime | None


class Backlog(Struct, frozen=True):
    """The waiting and failed notifications of a channel; superseded ones do not count."""

    waiting: int
    failed: int
    oldest_at: datetime | None


def add(
    connection: Connection,
    incident_id: int,
    channel: str,
    reason: str,
    payload: Mapping[str, Any],
    now: datetime,
) -> None:
    """Queue a notification behind the incident's earlier ones; the caller holds the incident's lock."""
    values = {
        "incident_id": incident_id,
        "channel": channel,
        "reason": reason,
        "payload": payload,
        "now": now,
    }
    if reason in _SUPERSEDING:
        connection.execute(_SUPERSEDE, {"incident_id": incident_id, "channel": channel, "now": now})
    connection.execute(_ADD, values)


def claim(connection: Connection, channel: str, now: datetime, leased_until: datetime) -> Claim | None:
    """Claim the channel's next due notification, if any, and record the try."""
    values = {"channel": channel, "now": now, "leased_until": leased_until, "most": 1}
    row = connection.execute(_CLAIM_ANY, values).one_or_none()
    return Claim(*row) if row else None


def is_flooded(connection: Connection, channel: str, now: datetime, from_: int) -> bool:
    """Whether at least `from_` due notifications could be sent in one message."""
    values = {"channel": channel, "now": now, "most": from_}
    return int(connection.execute(_COUNT_COLLAPSIBLE, values).scalar_one()) >= from_


def claim_together(
    connection: Connection, channel: str, now: datetime, leased_until: datetime, most: int
) -> list[Claim]:
    """Claim up to `most` due notifications, oldest first, to send in one message."""
    values = {"channel": channel, "now": now, "leased_until": leased_until, "most": most}
    return [Claim(*row) for row in connection.execute(_CLAIM_COLLAPSIBLE, values)]


def mark_sent(connection: Connection, claimed: Claim, at: datetime) -> None:
    """Record that the channel accepted it, even if the lease has run out."""
    connection.execute(_SENT, {"id": claimed.id, "at": at})
    _end_try(connection, claimed, at, "sent")


def mark_retry(
    connection: Connection,
    claimed: Claim,
    at: datetime,
    next_try_at: datetime,
    error: str,
    *,
    alone: bool = False,
) -> None:
    """Record a failed try; due again at `next_try_at`, and with `alone` never again in a digest."""
    values = {"id": claimed.id, "tries": claimed.tries, "next_try_at": next_try_at, "error": error}
    connection.execute(_RETRY, values | {"alone": alone})
    _end_try(connection, claimed, at, "retry", error)


def mark_failed(connection: Connection, claimed: Claim, at: datetime, error: str) -> None:
    """Record a permanent failure; the incident's later notifications no longer wait for it."""
    connection.execute(_FAILED, {"id": claimed.id, "tries": claimed.tries, "at": at, "error": error})
    _end_try(connection, claimed, at, "permanent", error)


def mark_rerouted(connection: Connection, notification_id: int, at: datetime) -> None:
    """Record that another channel was notified instead."""
    connection.execute(_MARK_REROUTED, {"id": notification_id, "at": at})


def channels_for_event(connection: Connection, incident_id: int, reason: str, at: str) -> set[str]:
    """The channels with a notification of this event; `at` as the payload writes it."""
    values = {"incident_id": incident_id, "reason": reason, "at": at}
    return set(connection.execute(_CHANNELS_FOR_EVENT, values).scalars())


def open_payloads(connection: Connection, channel: str) -> list[dict[str, Any]]:
    """The latest payload sent to the channel for each open incident."""
    return list(connection.execute(_OPEN, {"channel": channel}).scalars())


def channels_of(connection: Connection, incident_id: int) -> list[str]:
    """The channels with a notification of this incident, sent or not."""
    return list(connection.execute(_CHANNELS, {"id": incident_id}).scalars())


def last_added(connection: Connection, reason: str) -> datetime | None:
    """When the last notification about no incident was queued for this reason."""
    at: datetime | None = connection.execute(_LAST_ADDED, {"reason": reason}).scalar_one()
    return at


def latest_payloads(connection: Connection, incident_id: int) -> dict[str, dict[str, Any]]:
    """The latest payload of this incident by channel, sent or not."""
    return {row.channel: row.payload for row in connection.execute(_LATEST, {"id": incident_id})}


def backlog(connection: Connection, failed_since: datetime = _EVER) -> dict[str, Backlog]:
    """By channel: waiting notifications, those failed since then, and the creation time of the oldest waiting one."""
    rows = connection.execute(_BACKLOG, {"failed_since": failed_since})
    return {row[0]: Backlog(*row[1:]) for row in rows}


def _end_try(connection: Connection, claimed: Claim, at: datetime, outcome: str, error: str = "") -> None:
    values = {"try_id": claimed.try_id, "at": at, "outcome": outcome, "error": error}
    connection.execute(_END_TRY, values)
