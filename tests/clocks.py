"""Time that goes on only when somebody waits."""

from datetime import datetime

from webhook_app.pipeline.incidents.notify import Clock


class Hands:
    """A stopwatch that only waiting moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def clock(self, now: datetime) -> Clock:
        """A run's clock by these hands, beginning at `now`."""
        return Clock(now, lambda: self.seconds, self.wait)
