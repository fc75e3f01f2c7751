"""Sends a notification that a channel did not take on another channel, with the name and fault of the first.

Runs in the caller's transaction, which locks the incident before any of its notifications, in the same order as the
evaluation.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from webhook_app.channels.findings import FINDING_CHANNELS, NO_INCIDENT, FindingMessage
from webhook_app.channels.notification import Notification, Undelivered, one_line
from webhook_app.store.incidents import incidents, outbox
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection

log = structlog.get_logger()


OutboxMessage = Notification | FindingMessage


def lock_incidents(connection: Connection, incident_ids: Collection[int]) -> None:
    """Lock the incidents of notifications that may be rerouted, before any other lock."""
    if NO_INCIDENT in incident_ids:
        locks.hold_until_commit(connection, locks.FINDINGS_LOCK)
    incidents.lock(connection, incident_ids)


def read_message(payload: Mapping[str, Any]) -> OutboxMessage | None:
    """Return the message of a row of the outbox, as every channel gets it: its texts and names have no line breaks.

    None if another version wrote it in a form that cannot be read.
    """
    kind: type[OutboxMessage] = (
        FindingMessage if payload.get("reason") in ("finding", "digest") else Notification
    )
    try:
        return convert(one_line(payload), kind)
    except ValidationError:
        return None


def reroute(
    connection: Connection,
    notification_id: int,
    channel: str,
    payload: dict[str, Any],
    fault: str,
    fallbacks: Sequence[str],
    now: datetime,
) -> str | None:
    """Add it to the outbox of the first channel that has not failed it; None if no channel is left."""
    notification = read_message(payload)
    if notification is None:  # unreadable for every channel
        return None
    if isinstance(notification, FindingMessage):
        fallbacks = [name for name in fallbacks if name in FINDING_CHANNELS]
    failed = {channel, *(missed.channel for missed in notification.undelivered)}
    remaining = [name for name in fallbacks if name not in failed]
    if not remaining:
        log.error(
            "no channel is left for a notification",
            incident=notification.incident_id,
            reason=notification.reason,
        )
        return None
    notified = outbox.channels_for_event(
        connection, notification.incident_id, notification.reason, to_builtins(notification.at)
    )
    known = [name for name in remaining if name in notified]
    if notification.reason == "resolved" and known:  # a channel that has no beginning needs no end
        outbox.mark_rerouted(connection, notification_id, now)
        return known[0]
    target = next((name for name in remaining if name not in notified), remaining[0])
    notification = replace(notification, undelivered=(*notification.undelivered, Undelivered(channel, fault)))
    outbox.add(
        connection, notification.incident_id, target, notification.reason, to_builtins(notification), now
    )
    outbox.mark_rerouted(connection, notification_id, now)
    if isinstance(notification, Notification):
        _add_resolve(connection, notification, target, now)
    return target


def _add_resolve(connection: Connection, notification: Notification, target: str, now: datetime) -> None:
    """Add the alert's end if it is already resolved, since that notification was added for other channels only."""
    latest = outbox.latest_payloads(connection, notification.incident_id)
    ends = [payload for payload in latest.values() if payload.get("reason") == "resolved"]
    if ends and latest[target].get("reason") != "resolved":
        outbox.add(connection, notification.incident_id, target, "resolved", ends[0], now)
