"""What the rules look at, at one moment: read when first asked for, and at most once. Decides nothing.

Whoever can answer the same questions about another moment can have the same rules judge it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from webhook_app.rules.incidents.anomalies import USUAL_DAYS
from webhook_app.store.counts import baselines, rates, service_activity
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.counts.window_counts import FailedMessages, SeriesKey, WindowCounts
from webhook_app.store.postgres.engine import Connection


class RuleInputs(Protocol):
    """Counts around one moment. `minutes` is the length of the window, the running minute not counted."""

    @property
    def now(self) -> datetime: ...
    def window(self, minutes: int) -> WindowCounts:
        """The last full minutes and the running one."""
        ...

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        """The hours before the window."""
        ...

    def met(self, minutes: int, days: int) -> WindowCounts:
        """The days before the window, as far as they are summed up."""
        ...

    def met_lately(self, minutes: int) -> WindowCounts:
        """What lies between that and the window."""
        ...

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        """When each series had its first message, not looking back further than that."""
        ...

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        """Status events in the window."""
        ...

    def usual_webhooks(self, minutes: int) -> list[dict[SeriesKey, float]]:
        """As many as a window of this length had at this time on each of the days before that are known."""
        ...

    def sends(self, minutes: int) -> dict[str, int]:
        """Accepted sends in the window by business number, those too young to be told of left out."""
        ...


class ReadCache:
    """What changes once an hour, kept between evaluations of one process; read anew after each summed hour."""

    def __init__(self) -> None:
        self.hour: datetime | None = None
        self.usual: dict[tuple[datetime, datetime], WindowCounts] = {}
        self.usual_webhooks: dict[tuple[datetime, int], list[dict[SeriesKey, float]]] = {}
        self.known_since: dict[datetime, dict[SeriesKey, datetime]] = {}
        self.costly: dict[str, tuple[datetime, int]] = {}

    def renew(self, hour: datetime | None) -> None:
        """Forget everything when another hour has been summed up since."""
        if hour != self.hour:
            self.hour = hour
            self.usual, self.usual_webhooks, self.known_since = {}, {}, {}


class LiveInputs:
    """The database at `now`, through one connection, which best shows one snapshot."""

    def __init__(self, connection: Connection, now: datetime, memory: ReadCache | None = None) -> None:
        self.connection = connection
        self._now = now
        self._memory = memory or ReadCache()
        self._memory.renew(baselines.latest_hour(connection))
        self._windows: dict[int, WindowCounts] = {}
        self._webhooks: dict[int, dict[SeriesKey, int]] = {}
        self._lately: dict[int, WindowCounts] = {}

    @property
    def now(self) -> datetime:
        return self._now

    def remembered(self, name: str, read: Callable[[], int]) -> int:
        """A figure that costs much to read, at most five minutes old."""
        known = self._memory.costly.get(name)
        if known is None or not timedelta(0) <= self._now - known[0] < _COSTLY:
            known = self._memory.costly[name] = (self._now, read())
        return known[1]

    def window(self, minutes: int) -> WindowCounts:
        if minutes not in self._windows:
            self._windows[minutes] = rates.read_window(self.connection, *rates.window(self._now, minutes))
        return self._windows[minutes]

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        end = _hour(rates.window(self._now, minutes)[0])
        span = (end - HOUR * hours, end)
        known = self._memory.usual
        if span not in known:
            known[span] = baselines.read(self.connection, *span)
        return known[span]

    def met(self, minutes: int, days: int) -> WindowCounts:
        end = self._summed_until(minutes)
        span = (end - timedelta(days=days), end)
        if span not in self._memory.usual:
            self._memory.usual[span] = baselines.read(self.connection, *span)
        return self._memory.usual[span]

    def met_lately(self, minutes: int) -> WindowCounts:
        if minutes not in self._lately:
            span = self._summed_until(minutes), rates.window(self._now, minutes)[0]
            failed = rates.failures_by_code_and_series(self.connection, *span) if span[0] < span[1] else []
            # Of a message that failed several times each code has been met.
            each = [FailedMessages((mark,), 1) for one in failed for mark in one.marks]
            self._lately[minutes] = WindowCounts({}, each)
        return self._lately[minutes]

    def _summed_until(self, minutes: int) -> datetime:
        start = _hour(rates.window(self._now, minutes)[0])
        return min(start, self._memory.hour + HOUR) if self._memory.hour else start

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        since = _hour(self._now) - timedelta(days=days)
        if since not in self._memory.known_since:
            self._memory.known_since[since] = baselines.first_hours(self.connection, since)
        return self._memory.known_since[since]

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        if minutes not in self._webhooks:
            span = rates.window(self._now, minutes)
            self._webhooks[minutes] = service_activity.events_by_series(self.connection, *span)
        return self._webhooks[minutes]

    def usual_webhooks(self, minutes: int) -> list[dict[SeriesKey, float]]:
        hour = _hour(self._now - timedelta(minutes=minutes))
        known = self._memory.usual_webhooks
        if (hour, minutes) not in known:
            days = [hour - timedelta(days=back) for back in range(1, USUAL_DAYS + 1)]
            found = baselines.events_in(self.connection, days)
            known[hour, minutes] = [
                {series: events * minutes / 60 for series, events in of_day.items()}
                for of_day in found.values()
            ]
        return known[hour, minutes]

    def sends(self, minutes: int) -> dict[str, int]:
        start, end = rates.window(self._now, minutes)
        return service_activity.sends_by_number(self.connection, start, end - UNTOLD)


_COSTLY = timedelta(minutes=5)

UNTOLD = timedelta(minutes=5)
"""Meta tells of a message some seconds after it was sent; only later is silence worth a word."""


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
