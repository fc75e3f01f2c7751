"""Times that were stored by a clock that was ahead: of another host, or of this one before it was set right."""

from datetime import datetime, timedelta

TOLERATED = timedelta(minutes=5)
"""Clocks of hosts differ by less."""

REPEATED = timedelta(hours=1)
"""How much is done again after a clock was ahead: who led with the wrong clock may have stopped some time ago."""


def is_ahead(stored: datetime, now: datetime) -> bool:
    """Whether a clock that was wrong stored this time of something past."""
    return stored > now + TOLERATED


def resume_at(stored: datetime, now: datetime) -> datetime:
    """Where to go on with work that was done until `stored`: there, or some time ago if that is in the future."""
    return now - REPEATED if stored > now else stored
