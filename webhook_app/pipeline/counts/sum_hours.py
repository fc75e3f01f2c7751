"""Every few minutes: hours that are over are summed up, the latest ones again, for they still get late events.

An hour is one transaction, written whole, so that it does not matter how often or by whom it is done.
"""

from datetime import datetime, timedelta

from webhook_app.store.counts import baselines
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.postgres.engine import Engine

KNOWN_DAYS = 30
"""So far back hours are made up for that were never summed up."""

_AGAIN = 3
_AT_ONCE = 48


def sum_up(engine: Engine, now: datetime) -> int:
    """Sum up the last hours and, newest first, some that are missing; returns how many."""
    running = now.replace(minute=0, second=0, microsecond=0)
    hours = [running - HOUR * back for back in range(1, KNOWN_DAYS * 24 + 1)]
    with engine.connect() as connection:
        done = baselines.hours_summed(connection, running - timedelta(days=KNOWN_DAYS))
    wanted = hours[:_AGAIN] + [hour for hour in hours[_AGAIN:] if hour not in done][:_AT_ONCE]
    for hour in wanted:
        with engine.begin() as connection:
            baselines.sum_up(connection, hour, now)
    return len(wanted)
