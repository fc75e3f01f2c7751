"""A clock that advances only when code waits on it."""

from datetime import datetime

from webhook_app.pipeline.incidents.notifications.notify import Clock


class Stopwatch:
    """A stopwatch that only waiting advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def clock(self, now: datetime) -> Clock:
        """Return the clock of a run that starts at `now`."""
        return Clock(now, lambda: self.seconds, self.wait)
