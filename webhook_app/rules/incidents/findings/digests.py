"""Decides when findings are announced: each once, many in one message, and all in a weekly digest."""

from datetime import datetime, timedelta

DIGEST_WEEKDAY = 0
DIGEST_HOUR = 8
DIGEST_WITHIN = timedelta(hours=12)
"""A scheduler that was away at that time sends the digest later on the same day."""
MOST_MESSAGES = 3
"""More findings at once are announced in one message."""


def digest_time(now: datetime, last: datetime | None) -> datetime | None:
    """The time of the digest that is due: Monday 08:00 UTC, if it was not queued yet; None when none is."""
    due = now.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    is_time = now.weekday() == DIGEST_WEEKDAY and due <= now < due + DIGEST_WITHIN
    return due if is_time and (last is None or last < due) else None
