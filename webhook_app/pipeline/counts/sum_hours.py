"""Every few minutes: sum up past hours; the latest ones, and those that late events belong to, again.

Each hour is one transaction that rewrites its sums, so repeated or concurrent runs do no harm. measure_lateness.py
finds the hours of late events. Hours before the first message are unknown, not zero: they are not summed.
"""

from datetime import datetime, timedelta

from webhook_app.store.counts import baselines
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.postgres.engine import Engine

BACKFILL_DAYS = 30
"""How far back missing hours are summed up."""

RECOUNTED_HOURS = 3
"""Later events make their hour be summed again (see measure_lateness.py)."""
_BACKFILL_BATCH = 48


def sum_hours(engine: Engine, now: datetime) -> int:
    """Sum up the last hours and a batch of missing ones, newest first; returns how many."""
    running = now.replace(minute=0, second=0, microsecond=0)
    hours = [running - HOUR * back for back in range(1, BACKFILL_DAYS * 24 + 1)]
    with engine.connect() as connection:
        done = baselines.hours_summed(connection, running - timedelta(days=BACKFILL_DAYS))
        first = baselines.first_hour(connection)
    hours = [hour for hour in hours if first is not None and hour >= first]
    due = (
        hours[:RECOUNTED_HOURS]
        + [hour for hour in hours[RECOUNTED_HOURS:] if hour not in done][:_BACKFILL_BATCH]
    )
    for hour in due:
        with engine.begin() as connection:
            baselines.sum_hour(connection, hour, now)
    return len(due)
