"""What no run over a channel looks after: news too old to be tried on, and news for channels that are gone.

Both are given up, on record, and told on another channel unless they have been.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from webhook_app.pipeline.incidents.reroute import hold, reroute
from webhook_app.store.incidents import outbox
from webhook_app.store.incidents.outbox import Orphan
from webhook_app.store.postgres.engine import Engine

log = structlog.get_logger()

GIVE_UP_AFTER = timedelta(hours=72)  # news of an alert older than this helps nobody

_AT_ONCE = 500


def tidy(engine: Engine, now: datetime, channels: Sequence[str]) -> int:
    """Give up what is too old or waits for a channel that is not set up, and tell it elsewhere; returns how many."""
    with engine.connect() as connection:
        late = outbox.outdated(connection, now - GIVE_UP_AFTER, now, _AT_ONCE)
        waiting = outbox.orphans(connection, channels, _AT_ONCE)
    given_up = sum(_tell_elsewhere(engine, each, "not delivered in 72 hours", channels, now) for each in late)
    if given_up:
        log.error("notifications given up after 72 hours", notifications=given_up)
    return given_up + sum(
        _tell_elsewhere(engine, each, "it is no longer set up", channels, now) for each in waiting
    )


def _tell_elsewhere(
    engine: Engine, orphan: Orphan, fault: str, channels: Sequence[str], now: datetime
) -> bool:
    with engine.begin() as connection:
        hold(connection, [orphan.alert_id])
        if not outbox.fail(connection, orphan.id, now, fault):
            return False
        if orphan.rerouted_at is None:
            reroute(connection, orphan.id, orphan.channel, orphan.payload, fault, channels, now)
        return True
