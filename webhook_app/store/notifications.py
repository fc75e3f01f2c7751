"""The outbox: what is to be told on which channel. Rows are claimed for a while; every try is a row too.

A claim that is never completed ends with its lease; then the notification is due again. Nothing is sent here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

_ADD = text("""
INSERT INTO notifications (alert_id, channel, reason, sequence, payload, created_at, next_try_at)
SELECT :alert_id, :channel, :reason, coalesce(max(sequence), 0) + 1, :payload, :now, :now
FROM notifications WHERE alert_id = :alert_id AND channel = :channel
""").bindparams(bindparam("payload", type_=JSONB))

# An earlier notification of the same alert that is neither sent nor given up keeps the later ones waiting.
_CLAIM = text("""
WITH claimed AS (
  UPDATE notifications SET leased_until = :leased_until, tries = tries + 1
  WHERE id = ANY (ARRAY(
    SELECT n.id FROM notifications n
    WHERE n.channel = :channel AND n.sent_at IS NULL AND n.failed_at IS NULL AND n.next_try_at <= :now
      AND (n.leased_until IS NULL OR n.leased_until <= :now)
      AND NOT EXISTS (SELECT FROM notifications e
                      WHERE e.alert_id = n.alert_id AND e.channel = n.channel AND e.sequence < n.sequence
                        AND e.sent_at IS NULL AND e.failed_at IS NULL)
    ORDER BY n.next_try_at, n.id LIMIT 1 FOR UPDATE SKIP LOCKED))
  RETURNING id, alert_id, channel, reason, payload, tries
), tried AS (
  INSERT INTO notification_tries (notification_id, started_at) SELECT id, :now FROM claimed
  RETURNING id AS try_id, notification_id
)
SELECT c.id, c.alert_id, c.channel, c.reason, c.payload, c.tries, t.try_id
FROM claimed c JOIN tried t ON t.notification_id = c.id
""")

_END_TRY = text(
    "UPDATE notification_tries SET ended_at = :at, outcome = :outcome, error = :error WHERE id = :try_id"
)
_SENT = text("""
UPDATE notifications SET sent_at = :at, failed_at = NULL, leased_until = NULL, last_error = '' WHERE id = :id
""")
# `tries` tells whose claim it is: one whose lease ran out must not undo what a later one does.
_RETRY = text("""
UPDATE notifications SET next_try_at = :next_try_at, leased_until = NULL, last_error = :error
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
    connection.execute(_ADD, values)


def claim(connection: Connection, channel: str, now: datetime, leased_until: datetime) -> Claim | None:
    """Take the channel's next due notification, if there is one; its try is recorded with it."""
    values = {"channel": channel, "now": now, "leased_until": leased_until}
    row = connection.execute(_CLAIM, values).one_or_none()
    return Claim(*row) if row else None


def mark_sent(connection: Connection, claimed: Claim, at: datetime) -> None:
    """The channel took it, whoever holds the claim by now."""
    connection.execute(_SENT, {"id": claimed.id, "at": at})
    _end_try(connection, claimed, at, "sent")


def mark_retry(
    connection: Connection, claimed: Claim, at: datetime, next_try_at: datetime, error: str
) -> None:
    """It did not get through; due again at `next_try_at`."""
    values = {"id": claimed.id, "tries": claimed.tries, "next_try_at": next_try_at, "error": error}
    connection.execute(_RETRY, values)
    _end_try(connection, claimed, at, "retry", error)


def mark_failed(connection: Connection, claimed: Claim, at: datetime, error: str) -> None:
    """It will never get through; the alert's later notifications no longer wait for it."""
    connection.execute(_FAILED, {"id": claimed.id, "tries": claimed.tries, "at": at, "error": error})
    _end_try(connection, claimed, at, "permanent", error)


def postpone(connection: Connection, channel: str, until: datetime) -> None:
    """Leave the whole channel alone until then: it asked for a pause."""
    statement = (
        "UPDATE notifications SET next_try_at = :until WHERE channel = :channel AND next_try_at < :until"
        " AND sent_at IS NULL AND failed_at IS NULL"
    )
    connection.execute(text(statement), {"channel": channel, "until": until})


def give_up(connection: Connection, created_before: datetime, now: datetime, error: str) -> int:
    """Stop trying what is older than that, on every channel; returns how many."""
    statement = (
        "UPDATE notifications SET failed_at = :now, last_error = :error WHERE created_at < :created_before"
        " AND sent_at IS NULL AND failed_at IS NULL AND (leased_until IS NULL OR leased_until <= :now)"
    )
    values = {"created_before": created_before, "now": now, "error": error}
    return connection.execute(text(statement), values).rowcount


def channels_told(connection: Connection, alert_id: int) -> list[str]:
    """Channels that were to hear of this alert."""
    statement = text("SELECT DISTINCT channel FROM notifications WHERE alert_id = :id ORDER BY channel")
    return list(connection.execute(statement, {"id": alert_id}).scalars())


def backlog(connection: Connection) -> dict[str, Backlog]:
    """By channel: notifications still to be sent, those given up, and since when the oldest waits."""
    statement = text("""
        SELECT channel, count(*) FILTER (WHERE failed_at IS NULL),
               count(*) FILTER (WHERE failed_at IS NOT NULL),
               min(created_at) FILTER (WHERE failed_at IS NULL)
        FROM notifications WHERE sent_at IS NULL GROUP BY channel""")
    return {row[0]: Backlog(*row[1:]) for row in connection.execute(statement)}


def _end_try(connection: Connection, claimed: Claim, at: datetime, outcome: str, error: str = "") -> None:
    values = {"try_id": claimed.try_id, "at": at, "outcome": outcome, "error": error}
    connection.execute(_END_TRY, values)
