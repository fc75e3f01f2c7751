"""The outbox to the channels, at least once: claim, record the try, send, mark.

1. One transaction takes the next due notification of a channel for the time of a lease and records the try.
2. It is sent outside of any transaction.
3. Another transaction marks it sent, due again later, or given up. After a crash in between the lease ends and
   it is sent again: told twice is better than not at all.
A run sends one notification per channel, so the interval between runs is the channel's pace; Slack takes one
a second. The scheduler runs each channel by itself, so that a slow one holds up no other.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random, SystemRandom
from time import monotonic

import structlog
from msgspec import Struct, ValidationError, convert
from sqlalchemy import Engine

from webhook_app.channels import Channel, SendError
from webhook_app.channels.notification import Notification
from webhook_app.store import notifications
from webhook_app.store.notifications import Claim

log = structlog.get_logger()

LEASE = timedelta(seconds=90)  # well over the longest time a channel takes to fail
LONGEST_WAIT_S = 300.0
GIVE_UP_AFTER = timedelta(hours=72)  # news of an alert older than this helps nobody

_JITTER = SystemRandom()


class Summary(Struct, frozen=True):
    """What a run did with the outbox."""

    sent: int
    retried: int
    failed: int


def notify(
    engine: Engine,
    channels: Mapping[str, Channel],
    now: datetime,
    *,
    jitter: Random = _JITTER,
    stopwatch: Callable[[], float] = monotonic,
) -> Summary:
    """Send the next due notification of every channel; `stopwatch` measures in seconds how long it takes."""
    with engine.begin() as connection:
        if late := notifications.give_up(connection, now - GIVE_UP_AFTER, now, "not delivered in 72 hours"):
            log.error("notifications given up after 72 hours", notifications=late)
    outcomes: Counter[str] = Counter()
    for name, channel in channels.items():
        with engine.begin() as connection:
            claimed = notifications.claim(connection, name, now, now + LEASE)
        if claimed is not None:
            began = stopwatch()
            fault = _send(channel, claimed)
            at = now + timedelta(seconds=stopwatch() - began)
            outcomes[_mark(engine, claimed, fault, at, jitter)] += 1
    return Summary(outcomes["sent"], outcomes["retry"], outcomes["permanent"])


def _send(channel: Channel, claimed: Claim) -> SendError | None:
    try:
        channel.send(convert(claimed.payload, Notification))
    except SendError as fault:
        return fault
    except ValidationError as fault:  # written by a version that said it differently
        return SendError(f"the stored payload cannot be read: {fault}", permanent=True)
    return None


def _mark(engine: Engine, claimed: Claim, fault: SendError | None, at: datetime, jitter: Random) -> str:
    with engine.begin() as connection:
        if fault is None:
            notifications.mark_sent(connection, claimed, at)
            return "sent"
        about = {"channel": claimed.channel, "alert": claimed.alert_id, "reason": claimed.reason}
        if fault.permanent:
            notifications.mark_failed(connection, claimed, at, str(fault))
            log.error("notification given up", **about, fault=str(fault))
            return "permanent"
        wait = max(backoff(claimed.tries, jitter), fault.retry_after or 0.0)
        next_try_at = at + timedelta(seconds=wait)
        notifications.mark_retry(connection, claimed, at, next_try_at, str(fault))
        if fault.retry_after is not None:
            notifications.postpone(connection, claimed.channel, next_try_at)
        log.warning("notification not sent yet", **about, tries=claimed.tries, fault=str(fault), wait_s=wait)
        return "retry"


def backoff(tries: int, jitter: Random) -> float:
    """Seconds to wait after so many tries: 1, 2, 4 … up to five minutes, less a random half at most."""
    longest = min(2.0 ** min(tries - 1, 16), LONGEST_WAIT_S)
    return longest * jitter.uniform(0.5, 1.0)
