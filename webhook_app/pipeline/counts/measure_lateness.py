"""Every minute: count the events of each past minute by how late they arrived, and detect missing ones.

A minute is registered, then counted, and checked once its grace period is over. Each step gives the same result when
repeated, so an interrupted run loses nothing. Minutes missed during downtime follow, a limited number per run. A minute
that takes longer than a statement may stops no other.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from webhook_app.pipeline.counts.sum_hours import BACKFILL_DAYS, RECOUNTED_HOURS
from webhook_app.rules.wrong_clocks import REPEATED
from webhook_app.store.counts import baselines, lateness
from webhook_app.store.incidents import unjudged_minutes
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.postgres.errors import EngineError, is_statement_timeout

LOOKBACK = timedelta(hours=1)
"""How far back the first run counts."""

MAX_MINUTES_PER_RUN = 300
"""The newest first, so that figures of the last hour are correct at once."""

_SETTLED = timedelta(seconds=20)  # longer than a commit in progress at the end of its minute may take


def measure(engine: Engine, now: datetime) -> int:
    """Count and check every due minute; returns how many were counted. Raises the first timeout at the end."""
    last = (now - _SETTLED).replace(second=0, microsecond=0) - timedelta(minutes=1)
    with engine.begin() as connection:
        lateness.remove_future(connection, last, last - REPEATED)
        lateness.add_minutes(connection, last, last - LOOKBACK)
        due = lateness.uncounted(connection, MAX_MINUTES_PER_RUN)
        lateness.summarize_index(connection, min(due, default=now), now)
    faults = _each(engine, due, partial(_count, now=now))
    with engine.begin() as connection:
        settled = lateness.unchecked(connection, now - _SETTLED, MAX_MINUTES_PER_RUN)
    faults += _each(engine, settled, lateness.check_minute)
    if faults:
        raise faults[0]
    return len(due)


def _count(connection: Connection, minute: datetime, now: datetime) -> None:
    """Count the minute's events by lag; late ones have their hours summed again and their minutes judged again."""
    lateness.count_minute(connection, minute)
    oldest = minute - timedelta(days=BACKFILL_DAYS)
    baselines.mark_late_hours(connection, minute, _regular_hours(now), oldest)
    unjudged_minutes.add_late(connection, minute, now)


def _regular_hours(now: datetime) -> datetime:
    """The first of the hours that are summed again in any case."""
    return now.replace(minute=0, second=0, microsecond=0) - RECOUNTED_HOURS * baselines.HOUR


def _each(
    engine: Engine, minutes: Sequence[datetime], step: Callable[[Connection, datetime], None]
) -> list[EngineError]:
    """Do the step for each minute; returns the timeouts."""
    faults = []
    for minute in minutes:
        try:
            with engine.begin() as connection:
                step(connection, minute)
        except EngineError as fault:
            if not is_statement_timeout(fault):
                raise
            faults.append(fault)
    return faults
