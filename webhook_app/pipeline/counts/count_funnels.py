"""Every minute: count how far messages got by the events that came, and anew where something was moved.

Counting an event again changes nothing, so each run begins a little before the last one ended: a commit that was
under way then, or from a host whose clock is behind, is not missed. History that was never counted, such as that of
an earlier version, is gone through oldest first, in stretches of about as many events each.
"""

from datetime import UTC, datetime, time, timedelta

from webhook_app.store.counts import funnel_counts
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import Connection, Engine

SETTLED = timedelta(minutes=2)
"""Longer than a commit may take, tries again included."""

_STRETCH, _SHORTEST, _LONGEST = timedelta(minutes=10), timedelta(seconds=10), timedelta(days=1)
_FEW, _MANY = 20_000, 80_000  # messages in a stretch; a busy machine counts some 15 000 in a second
_STRETCHES = 1_000
_RECOUNTED_AT_ONCE = 2_000
_EARLY = timedelta(days=1)  # an event is never received much before it occurred


def count_steps(engine: Engine, now: datetime) -> int:
    """Count what is not counted yet; returns of how many messages something was looked at."""
    looked_at, stretch = 0, _STRETCH
    for _ in range(_STRETCHES):
        with engine.begin() as connection:
            since = funnel_counts.hold(connection) or _beginning(connection, now)
            until = since + stretch if since + stretch < now - SETTLED else now
            found = funnel_counts.count_received(connection, since, until) if since < until else 0
            funnel_counts.advance(connection, max(since, min(until, now - SETTLED)))
        looked_at += found
        if until >= now or since >= now:
            break
        if found < _FEW:
            stretch = min(stretch * 2, _LONGEST)
        elif found > _MANY:
            stretch = max(stretch / 2, _SHORTEST)
    return looked_at + _recount(engine)


def _recount(engine: Engine) -> int:
    asked = 0
    for _ in range(_STRETCHES):
        with engine.begin() as connection:
            funnel_counts.hold(connection)
            found = funnel_counts.recount(connection, _RECOUNTED_AT_ONCE)
        asked += found
        if found < _RECOUNTED_AT_ONCE:
            break
    return asked


def _beginning(connection: Connection, now: datetime) -> datetime:
    """A moment before which nothing was received."""
    days = [day for _, day in partitions.partitions(connection, "status_events")]
    oldest = datetime.combine(min(days), time(), UTC) if days else now
    stray = funnel_counts.first_received(connection, oldest)
    return min(oldest - _EARLY, stray or oldest, now - SETTLED)
