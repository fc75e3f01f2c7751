"""Gives up notifications that are too old, and those of channels that are no longer set up.

Each failure is recorded, and the notification goes to another channel unless it already has. What a channel has not
accepted for ten minutes goes to another one too, and its own still tries.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from webhook_app.pipeline.incidents.notifications.reroute import lock_incidents, reroute
from webhook_app.store.incidents import waiting_notifications
from webhook_app.store.incidents.waiting_notifications import WaitingNotification
from webhook_app.store.postgres.engine import Engine

log = structlog.get_logger()

GIVE_UP_AFTER = timedelta(hours=72)  # a notification older than this is of no use

OVERDUE_AFTER = timedelta(minutes=10)

_BATCH = 500


def expire(engine: Engine, now: datetime, channels: Sequence[str]) -> int:
    """Give up notifications that are too old or have no channel, and reroute them; returns how many.

    Those that are overdue are rerouted only.
    """
    with engine.connect() as connection:
        overdue = waiting_notifications.overdue(connection, now - OVERDUE_AFTER, now, _BATCH)
        late = waiting_notifications.outdated(connection, now - GIVE_UP_AFTER, now, _BATCH)
        waiting = waiting_notifications.without_channel(connection, channels, _BATCH)
    given_up = sum(_give_up(engine, each, "not delivered in 72 hours", channels, now) for each in late)
    if given_up:
        log.error("notifications given up after 72 hours", notifications=given_up)
    given_up += sum(_give_up(engine, each, "it is no longer set up", channels, now) for each in waiting)
    for each in overdue:
        _reroute(engine, each, channels, now)
    return given_up


def _reroute(engine: Engine, overdue: WaitingNotification, channels: Sequence[str], now: datetime) -> None:
    with engine.begin() as connection:
        lock_incidents(connection, [overdue.incident_id])
        fault = waiting_notifications.mark_overdue(connection, overdue.id, now)
        if fault is not None:
            fault = fault or f"not sent within {OVERDUE_AFTER.total_seconds() / 60:.0f} min"
            reroute(connection, overdue.id, overdue.channel, overdue.payload, fault, channels, now)


def _give_up(
    engine: Engine, waiting: WaitingNotification, fault: str, channels: Sequence[str], now: datetime
) -> bool:
    with engine.begin() as connection:
        lock_incidents(connection, [waiting.incident_id])
        if not waiting_notifications.fail(connection, waiting.id, now, fault):
            return False
        if waiting.rerouted_at is None:
            reroute(connection, waiting.id, waiting.channel, waiting.payload, fault, channels, now)
        return True
