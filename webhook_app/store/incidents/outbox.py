"""The outbox: what is to be told on which channel. Rows are claimed for a while; every try is a row too.

A claim that is never completed ends with its lease; then the notification is due again. Nothing is sent here.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection

_ADD = text("""
INSERT INTO notifications (alert_id, channel, reason, sequence, payload, created_at, next_try_at)
SELECT :alert_id, :channel, :reason, coalesce(max(sequence), 0) + 1, :payload, :now, :now
FROM notifications WHERE alert_id = :alert_id AND channel = :channel
""").bindparams(bindparam("payload", type_=JSONB))

# A reminder that has not gone out says nothing that the newer news does not say. One that is being sent stays.
_SUPERSEDE = text("""
UPDATE notifications SET failed_at = :now, superseded_at = :now WHERE id = ANY (ARRAY(
  SELECT id FROM notifications
  WHERE alert_id = :alert_id AND channel = :channel AND reason = 'repeated'
    AND sent_at IS NULL AND failed_at IS NULL AND (leased_until IS NULL OR leased_until <= :now)
  FOR UPDATE SKIP LOCKED))
""")
_SUPERSEDING = ("repeated", "escalated", "resolved")

# An earlier notification of the same alert that is neither sent nor given up keeps the later ones waiting.
_DUE = """
n.channel = :channel AND n.sent_at IS NULL AND n.failed_at IS NULL AND n.next_try_at <= :now
AND (n.leased_until IS NULL OR n.leased_until <= :now)
AND NOT EXISTS (SELECT FROM notifications e
                WHERE e.alert_id = n.alert_id AND e.channel = n.channel AND e.sequence < n.sequence
                  AND e.sent_at IS NULL AND e.failed_at IS NULL)
"""
# An alert with a message of its own is told there, not in a digest.
_COLLAPSIBLE = """
NOT n.alone AND NOT EXISTS (SELECT FROM channel_messages m
                            WHERE m.alert_id = n.alert_id AND m.channel = n.channel AND NOT m.shared)
"""
# Oldest first; what was refused again and again is perhaps the only one that is, and lets the others go before.
_CLAIM = """
WITH claimed AS (
  UPDATE notifications SET leased_until = :leased_until, tries = tries + 1
  WHERE id = ANY (ARRAY(
    SELECT n.id FROM notifications n WHERE {wanted} ORDER BY n.tries >= 5, n.id LIMIT :most FOR UPDATE SKIP LOCKED))
  RETURNING id, alert_id, channel, reason, payload, tries, created_at, rerouted_at
), tried AS (
  INSERT INTO notification_tries (notification_id, started_at) SELECT id, :now FROM claimed
  RETURNING id AS try_id, notification_id
)
SELECT c.id, c.alert_id, c.channel, c.reason, c.payload, c.tries, t.try_id, c.created_at, c.rerouted_at
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
# `tries` tells whose claim it is: one whose lease ran out must not undo what a later one does.
_RETRY = text("""
UPDATE notifications SET next_try_at = :next_try_at, leased_until = NULL, last_error = :error, alone = alone OR :alone
WHERE id = :id AND tries = :tries AND sent_at IS NULL
""")
_FAILED = text("""
UPDATE notifications SET failed_at = :at, leased_until = NULL, last_error = :error
WHERE id = :id AND tries = :tries AND sent_at IS NULL
""")


class Claim(Struct, frozen=True):
    """A notification that is ours to send until the lease ends; its try is already on record."""

    id: int
    alert_id: int
    channel: str
    reason: str
    payload: dict[str, Any]
    tries: int
    """This one included."""
    try_id: int
    created_at: datetime
    rerouted_at: datetime | None


class Orphan(Struct, frozen=True):
    """A waiting notification that its channel will not be told any more."""

    id: int
    alert_id: int
    channel: str
    reason: str
    payload: dict[str, Any]
    rerouted_at: datetime | None


class Backlog(Struct, frozen=True):
    """What a channel has not been told yet, and what it never will."""

    waiting: int
    failed: int
    oldest_at: datetime | None


def add(
    connection: Connection,
    alert_id: int,
    channel: str,
    reason: str,
    payload: Mapping[str, Any],
    now: datetime,
) -> None:
    """Put a notification behind the alert's earlier ones; the caller holds the alert's row."""
    values = {"alert_id": alert_id, "channel": channel, "reason": reason, "payload": payload, "now": now}
    if reason in _SUPERSEDING:
        connection.execute(_SUPERSEDE, {"alert_id": alert_id, "channel": channel, "now": now})
    connection.execute(_ADD, values)


def claim(connection: Connection, channel: str, now: datetime, leased_until: datetime) -> Claim | None:
    """Take the channel's next due notification, if there is one; its try is recorded with it."""
    values = {"channel": channel, "now": now, "leased_until": leased_until, "most": 1}
    row = connection.execute(_CLAIM_ANY, values).one_or_none()
    return Claim(*row) if row else None


def is_flooded(connection: Connection, channel: str, now: datetime, from_: int) -> bool:
    """Whether at least so many due notifications could be told in one message."""
    values = {"channel": channel, "now": now, "most": from_}
    return int(connection.execute(_COUNT_COLLAPSIBLE, values).scalar_one()) >= from_


def claim_together(
    connection: Connection, channel: str, now: datetime, leased_until: datetime, most: int
) -> list[Claim]:
    """Take up to `most` due notifications for one message that names each, oldest first."""
    values = {"channel": channel, "now": now, "leased_until": leased_until, "most": most}
    return [Claim(*row) for row in connection.execute(_CLAIM_COLLAPSIBLE, values)]


def mark_sent(connection: Connection, claimed: Claim, at: datetime) -> None:
    """The channel took it, whoever holds the claim by now."""
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
    """It did not get through; due again at `next_try_at`, from now on `alone` or as before."""
    values = {"id": claimed.id, "tries": claimed.tries, "next_try_at": next_try_at, "error": error}
    connection.execute(_RETRY, values | {"alone": alone})
    _end_try(connection, claimed, at, "retry", error)


def mark_failed(connection: Connection, claimed: Claim, at: datetime, error: str) -> None:
    """It will never get through; the alert's later notifications no longer wait for it."""
    connection.execute(_FAILED, {"id": claimed.id, "tries": claimed.tries, "at": at, "error": error})
    _end_try(connection, claimed, at, "permanent", error)


def mark_rerouted(connection: Connection, notification_id: int, at: datetime) -> None:
    """Another channel is told instead."""
    statement = text("UPDATE notifications SET rerouted_at = :at WHERE id = :id")
    connection.execute(statement, {"id": notification_id, "at": at})


def outdated(connection: Connection, created_before: datetime, now: datetime, most: int) -> list[Orphan]:
    """Waiting notifications older than that, on every channel, oldest first; not those that are being sent."""
    statement = text("""
        SELECT id, alert_id, channel, reason, payload, rerouted_at FROM notifications
        WHERE coalesce(retried_at, created_at) < :created_before AND sent_at IS NULL AND failed_at IS NULL
          AND (leased_until IS NULL OR leased_until <= :now)
        ORDER BY id LIMIT :most""")
    values = {"created_before": created_before, "now": now, "most": most}
    return [Orphan(*row) for row in connection.execute(statement, values)]


def orphans(connection: Connection, set_up: Collection[str], most: int) -> list[Orphan]:
    """Waiting notifications of channels that are no longer set up, oldest first; they are locked."""
    statement = text("""
        SELECT id, alert_id, channel, reason, payload, rerouted_at FROM notifications
        WHERE channel <> ALL (:set_up) AND sent_at IS NULL AND failed_at IS NULL
        ORDER BY id LIMIT :most""")
    return [Orphan(*row) for row in connection.execute(statement, {"set_up": list(set_up), "most": most})]


def fail(connection: Connection, notification_id: int, at: datetime, error: str) -> bool:
    """It will never get through, without another try; False when it has ended meanwhile, or is being sent."""
    statement = text(
        "UPDATE notifications SET failed_at = :at, leased_until = NULL, last_error = :error"
        " WHERE id = :id AND sent_at IS NULL AND failed_at IS NULL AND (leased_until IS NULL OR leased_until <= :at)"
    )
    return connection.execute(statement, {"id": notification_id, "at": at, "error": error}).rowcount == 1


def channels_of_news(connection: Connection, alert_id: int, reason: str, at: str) -> set[str]:
    """The channels that are told this very news; `at` as the payload spells it."""
    statement = text(
        "SELECT DISTINCT channel FROM notifications"
        " WHERE alert_id = :alert_id AND reason = :reason AND payload ->> 'at' = :at"
    )
    values = {"alert_id": alert_id, "reason": reason, "at": at}
    return set(connection.execute(statement, values).scalars())


def firing_payloads(connection: Connection, channel: str) -> list[dict[str, Any]]:
    """What the channel was last told of each alert that is firing now."""
    statement = text("""
        SELECT DISTINCT ON (n.alert_id) n.payload FROM notifications n JOIN alerts a ON a.id = n.alert_id
        WHERE n.channel = :channel AND n.sent_at IS NOT NULL AND a.state = 'firing'
        ORDER BY n.alert_id, n.sequence DESC""")
    return list(connection.execute(statement, {"channel": channel}).scalars())


def channels_told(connection: Connection, alert_id: int) -> list[str]:
    """Channels that were to hear of this alert."""
    statement = text("SELECT DISTINCT channel FROM notifications WHERE alert_id = :id ORDER BY channel")
    return list(connection.execute(statement, {"id": alert_id}).scalars())


def latest_payloads(connection: Connection, alert_id: int) -> dict[str, dict[str, Any]]:
    """What every channel was last to be told of this alert."""
    statement = text("""
        SELECT DISTINCT ON (channel) channel, payload FROM notifications WHERE alert_id = :id
        ORDER BY channel, sequence DESC""")
    return {row.channel: row.payload for row in connection.execute(statement, {"id": alert_id})}


def backlog(connection: Connection) -> dict[str, Backlog]:
    """By channel: notifications still to be sent, those given up, and since when the oldest waits."""
    statement = text("""
        SELECT channel, count(*) FILTER (WHERE failed_at IS NULL),
               count(*) FILTER (WHERE failed_at IS NOT NULL AND superseded_at IS NULL),
               min(created_at) FILTER (WHERE failed_at IS NULL)
        FROM notifications WHERE sent_at IS NULL GROUP BY channel""")
    return {row[0]: Backlog(*row[1:]) for row in connection.execute(statement)}


def _end_try(connection: Connection, claimed: Claim, at: datetime, outcome: str, error: str = "") -> None:
    values = {"try_id": claimed.try_id, "at": at, "outcome": outcome, "error": error}
    connection.execute(_END_TRY, values)
