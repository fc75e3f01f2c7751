"""News that a channel does not take is told on another: the alert still arrives, and that the channel is broken.

Works in the caller's transaction, which holds no notification's row before the alert's: the evaluation takes them
in that order.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Notification, Undelivered
from webhook_app.store.incidents import alerts, outbox
from webhook_app.store.postgres.engine import Connection

log = structlog.get_logger()


def hold(connection: Connection, alert_ids: Collection[int]) -> None:
    """Lock the alerts whose news may be told elsewhere, before anything else is locked."""
    for alert_id in sorted(alert_ids):
        alerts.lock(connection, alert_id)


def reroute(
    connection: Connection,
    notification_id: int,
    channel: str,
    payload: dict[str, Any],
    fault: str,
    fallbacks: Sequence[str],
    now: datetime,
) -> str | None:
    """Put it into the outbox of the best channel that has not failed it; None when there is none left."""
    try:
        told = convert(payload, Notification)
    except ValidationError:  # no channel could read it
        return None
    failed = {channel, *(missed.channel for missed in told.undelivered)}
    left = [name for name in fallbacks if name not in failed]
    if not left:
        log.error("no channel is left to tell an alert on", alert=told.alert_id, reason=told.reason)
        return None
    heard = outbox.channels_of_news(connection, told.alert_id, told.reason, to_builtins(told.at))
    chosen = next((name for name in left if name not in heard), left[0])
    told = replace(told, undelivered=(*told.undelivered, Undelivered(channel, fault)))
    outbox.add(connection, told.alert_id, chosen, told.reason, to_builtins(told), now)
    outbox.mark_rerouted(connection, notification_id, now)
    _tell_the_end(connection, told, chosen, now)
    return chosen


def _tell_the_end(connection: Connection, told: Notification, chosen: str, now: datetime) -> None:
    """The alert may be over by now: then its end was meant for others only, and this channel must hear it too."""
    latest = outbox.latest_payloads(connection, told.alert_id)
    ends = [payload for payload in latest.values() if payload.get("reason") == "resolved"]
    if ends and latest[chosen].get("reason") != "resolved":
        outbox.add(connection, told.alert_id, chosen, "resolved", ends[0], now)
