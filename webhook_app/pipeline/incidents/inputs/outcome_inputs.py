"""Reads the counts of outcomes that rules of the kinds undelivered and slow judge, and what is usual in these hours.

They are counted every minute (pipeline/counts/count_funnels), so they are read again only when more is counted.
"""

from datetime import datetime, timedelta

from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.outcomes import usual_hours
from webhook_app.store.counts.messages import outcome_counts, stages
from webhook_app.store.counts.messages.outcome_counts import MinuteSpan
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


class RecentOutcomes:
    """The windows at one time, and the minutes they are made of, which several may share."""

    def __init__(self, as_of: datetime | None = None) -> None:
        self.as_of = as_of
        self.windows: dict[tuple[OutcomeMeasure, int], WindowCounts] = {}
        self.minutes: dict[MinuteSpan, WindowCounts] = {}


class OutcomeCache:
    """Counts kept between evaluations: windows until more is counted, full hours for as long as they are used."""

    def __init__(self) -> None:
        self.recent = RecentOutcomes()
        self.known: set[tuple[OutcomeMeasure, int]] = set()
        """The windows that were needed before. Their minutes are read together."""
        self.hours: dict[tuple[OutcomeMeasure, datetime, datetime], WindowCounts] = {}
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
        recent, wanted = self._cache.recent, (measure, minutes)
        if recent.as_of != self.as_of:
            recent = self._cache.recent = RecentOutcomes(self.as_of)
        if wanted not in recent.windows:
            counts = self._minutes(recent, measure, minutes)
            if minutes > _LONG_MINUTES:
                counts = WindowCounts.joined(self._full_hours(measure, minutes), counts)
            recent.windows[wanted] = counts
        return recent.windows[wanted]

    def _minutes(self, recent: RecentOutcomes, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The minutes of a short window; of a long one those after its full hours."""
        span = self._span(measure, minutes)
        if span not in recent.minutes:
            self._cache.known.add((measure, minutes))
            spans = list({self._span(*each) for each in list(self._cache.known)} - recent.minutes.keys())
            read = outcome_counts.read_spans(self._connection, spans)
            for each, counts in zip(spans, read, strict=True):
                recent.minutes[each] = outcome_counts.as_window(counts)
        return recent.minutes[span]

    def _span(self, measure: OutcomeMeasure, minutes: int) -> MinuteSpan:
        start, end = outcome_span(measure, minutes, self.as_of)
        return MinuteSpan(measure, _hour(end) if minutes > _LONG_MINUTES else start, end)

    def _full_hours(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        start, end = outcome_span(measure, minutes, self.as_of)
        first, last = _hour(start), _hour(end)
        key = measure, first, last
        if key not in self._cache.hours:
            hours = [first + place * HOUR for place in range((last - first) // HOUR)]
            self._cache.hours = {
                kept: counts for kept, counts in self._cache.hours.items() if kept[2] == last
            }
            found = outcome_counts.read_hours(self._connection, measure, hours)
            self._cache.hours[key] = outcome_counts.as_window(found)
        return self._cache.hours[key]

    def usual(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The outcomes of the hours that say what is usual in this window."""
        hours = usual_hours(*outcome_span(measure, minutes, self.as_of))
        if (measure, hours) not in self._cache.usual:
            if len(self._cache.usual) >= _MAX_CACHED:
                self._cache.usual.clear()
            found = outcome_counts.read_hours(self._connection, measure, hours)
            self._cache.usual[measure, hours] = outcome_counts.as_window(found)
        return self._cache.usual[measure, hours]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
