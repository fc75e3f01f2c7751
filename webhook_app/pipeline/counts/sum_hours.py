"""Every few minutes: sum up past hours; the latest ones again, because late events still arrive.

Each hour is one transaction that rewrites its sums, so repeated or concurrent runs do no harm.
"""

from datetime import datetime, timedelta

from webhook_app.store.counts import baselines
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.postgres.engine import Engine

BACKFILL_DAYS = 30
"""How far back missing hours are summed up."""

_RECOUNTED_HOURS = 3
_BACKFILL_BATCH = 48


def sum_hours(engine: Engine, now: datetime) -> int:
    """Sum up the last hours and a batch of missing ones, newest first; returns how many."""
    running = now.replace(minute=0, second=0, microsecond=0)
    hours = [running - HOUR * back for back in range(1, BACKFILL_DAYS * 24 + 1)]
    with engine.connect() as connection:
        done = baselines.hours_summed(connection, running - timedelta(days=BACKFILL_DAYS))
    due = (
        hours[:_RECOUNTED_HOURS]
        + [hour for hour in hours[_RECOUNTED_HOURS:] if hour not in done][:_BACKFILL_BATCH]
    )
    for hour in due:
        with engine.begin() as connection:
            baselines.sum_hour(connection, hour, now)
    return len(due)
