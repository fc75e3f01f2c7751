"""Every minute: count the minutes that are over by how late their events came, and look for what is missing.

A minute is written down, then counted, and checked when the grace is over; each with the same result however often,
so it does not matter where a run was cut off. What was missed while nothing ran follows, so many minutes a run.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from webhook_app.store.counts import lateness
from webhook_app.store.postgres.engine import Connection, Engine

LOOKBACK = timedelta(hours=1)
"""How far back the very first run counts."""

AT_MOST = 300
"""Minutes in one run, the newest first: so what is shown of the last hour is right at once."""

_SETTLED = timedelta(seconds=20)  # a commit that was under way when its minute ended is over by then


def reconcile(engine: Engine, now: datetime) -> int:
    """Count and check what can be; returns how many minutes were counted."""
    last = (now - _SETTLED).replace(second=0, microsecond=0) - timedelta(minutes=1)
    with engine.begin() as connection:
        lateness.write_down(connection, last, last - LOOKBACK)
        due = lateness.uncounted(connection, AT_MOST)
        lateness.summarize(connection, min(due, default=now), now)
    _each(engine, due, lateness.count_minute)
    with engine.begin() as connection:
        settled = lateness.unchecked(connection, now - _SETTLED, AT_MOST)
    _each(engine, settled, lateness.check_minute)
    return len(due)


def _each(engine: Engine, minutes: Sequence[datetime], step: Callable[[Connection, datetime], None]) -> None:
    for minute in minutes:
        with engine.begin() as connection:
            step(connection, minute)
