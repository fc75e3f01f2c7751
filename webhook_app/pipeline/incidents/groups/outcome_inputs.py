"""Reads the counts of outcomes that rules of the kinds undelivered and slow judge, and what is usual in these hours.

They are counted every minute (pipeline/counts/count_funnels), so they are read again only when more is counted.
"""

from datetime import datetime, timedelta

from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.outcomes import usual_hours
from webhook_app.store.counts.messages import outcome_counts, stages
from webhook_app.store.counts.messages.outcome_counts import OutcomeCounts
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.postgres.engine import Connection

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_LONG_MINUTES = 120
_MAX_CACHED = 64


def outcome_span(measure: OutcomeMeasure, minutes: int, now: datetime) -> tuple[datetime, datetime]:
    """The start and end of the last `minutes` minutes whose messages can be judged at `now`.

    A message can be judged as undelivered once its time for a report is over.
    """
    floor = now.replace(second=0, microsecond=0)
    if measure.delay_minutes:
        floor -= measure.delay_minutes * MINUTE
        return floor - minutes * MINUTE, floor
    return floor - minutes * MINUTE, floor + MINUTE


class OutcomeCache:
    """Counts kept between evaluations: windows until more is counted, full hours for as long as they are used."""

    def __init__(self) -> None:
        self.windows: dict[tuple[OutcomeMeasure, int], tuple[datetime, WindowCounts]] = {}
        self.hours: dict[tuple[OutcomeMeasure, datetime, datetime], OutcomeCounts] = {}
        self.usual: dict[tuple[OutcomeMeasure, tuple[datetime, ...]], WindowCounts] = {}


class OutcomeInputs:
    """The counts of outcomes as of the last run of the counting job before `now`."""

    def __init__(self, connection: Connection, now: datetime, cache: OutcomeCache) -> None:
        self._connection = connection
        self._cache = cache
        self._now = now
        self._as_of: datetime | None = None

    @property
    def as_of(self) -> datetime:
        """The time up to which events are counted: messages sent later cannot have been reported on."""
        if self._as_of is None:
            counted = stages.counted_until(self._connection)
            self._as_of = min(self._now, counted + stages.SETTLED) if counted else self._now
        return self._as_of

    def window(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The outcomes of the last `minutes` minutes that can be judged."""
        start, end = outcome_span(measure, minutes, self.as_of)
        cached = self._cache.windows.get((measure, minutes))
        if cached is None or cached[0] != self.as_of:
            read = self._long_window if minutes > _LONG_MINUTES else self._short_window
            cached = self._cache.windows[measure, minutes] = (self.as_of, read(measure, start, end))
        return cached[1]

    def _short_window(self, measure: OutcomeMeasure, start: datetime, end: datetime) -> WindowCounts:
        return outcome_counts.as_window(outcome_counts.read_window(self._connection, measure, start, end))

    def _long_window(self, measure: OutcomeMeasure, start: datetime, end: datetime) -> WindowCounts:
        """Full hours from the hourly counts, the minutes after them one by one."""
        first, last = _hour(start), _hour(end)
        key = measure, first, last
        if key not in self._cache.hours:
            hours = [first + place * HOUR for place in range((last - first) // HOUR)]
            self._cache.hours = {
                kept: counts for kept, counts in self._cache.hours.items() if kept[2] == last
            }
            self._cache.hours[key] = outcome_counts.read_hours(self._connection, measure, hours)
        edge = outcome_counts.read_window(self._connection, measure, last, end)
        return outcome_counts.as_window(self._cache.hours[key], edge)

    def usual(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The outcomes of the hours that say what is usual in this window."""
        hours = tuple(usual_hours(*outcome_span(measure, minutes, self.as_of)))
        if (measure, hours) not in self._cache.usual:
            if len(self._cache.usual) >= _MAX_CACHED:
                self._cache.usual.clear()
            found = outcome_counts.read_hours(self._connection, measure, hours)
            self._cache.usual[measure, hours] = outcome_counts.as_window(found)
        return self._cache.usual[measure, hours]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
