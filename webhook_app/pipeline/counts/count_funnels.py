"""Every minute: count the stages messages reached from newly received events; recount messages that were changed.

Counting an event twice changes nothing. Each run therefore starts a little before the previous one ended: a commit
that was in progress then, or from a host with a slow clock, is not missed. History that was never counted (from an
earlier version, for example) is counted oldest first, in spans of roughly equal numbers of events. A span that takes
longer than a statement may is halved. After a run whose clock was ahead, the last hour is counted again.
"""

from datetime import UTC, datetime, time, timedelta

from webhook_app.rules.wrong_clocks import resume_at
from webhook_app.store.counts.messages import stages
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.postgres.errors import EngineError, is_statement_timeout

SETTLED = stages.SETTLED

_SPAN, _MIN_SPAN, _MAX_SPAN = timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)
_FEW, _MANY = 20_000, 80_000  # messages per span; a busy machine counts about 15 000 a second
_MAX_STEPS = 1_000
_RECOUNT_BATCH = 2_000
_MAX_EARLY_RECEIPT = timedelta(days=1)  # clocks differ: an event may be received before it occurred


def count_stages(engine: Engine, now: datetime) -> int:
    """Count the events that are not counted yet; returns the number of messages read."""
    messages, span = 0, _SPAN
    for _ in range(_MAX_STEPS):
        try:
            with engine.begin() as connection:
                counted = stages.lock_progress(connection)
                since = resume_at(counted, now) if counted else _first_received(connection, now)
                until = since + span if since + span < now - SETTLED else now
                span = min(span, until - since)
                found = stages.count_received(connection, since, until) if since < until else 0
                stages.set_counted_until(connection, max(since, min(until, now - SETTLED)))
        except EngineError as fault:
            if not is_statement_timeout(fault) or span <= _MIN_SPAN:
                raise
            span /= 2
            continue
        messages += found
        if until >= now or since >= now:
            break
        if found < _FEW:
            span = min(span * 2, _MAX_SPAN)
        elif found > _MANY:
            span = max(span / 2, _MIN_SPAN)
    return messages + _recount(engine)


def _recount(engine: Engine) -> int:
    recounted = 0
    for _ in range(_MAX_STEPS):
        with engine.begin() as connection:
            stages.lock_progress(connection)
            found = stages.process_recounts(connection, _RECOUNT_BATCH)
        recounted += found
        if found < _RECOUNT_BATCH:
            break
    return recounted


def _first_received(connection: Connection, now: datetime) -> datetime:
    """A time before which nothing was received."""
    days = [day for _, day in partitions.partitions(connection, "status_events")]
    oldest = datetime.combine(min(days), time(), UTC) if days else now
    stray = stages.first_received(connection, oldest)
    return min(oldest - _MAX_EARLY_RECEIPT, stray or oldest, now - SETTLED)
