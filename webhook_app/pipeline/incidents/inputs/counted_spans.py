"""Reads the counts of spans of time up to one time, each when first needed and at most once.

Minutes for short windows, summed hours for long ones. Parts that hardly change are kept between evaluations. Failures
that an alert held which has ended are left out, so that they are not judged twice.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.evidence import HeldGroups
from webhook_app.store.counts import baselines, rates, traffic, webhook_counts
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.counts.window_counts import (
    NOTHING_REPORTED,
    FailedMessages,
    Mark,
    ReportedCounts,
    WindowCounts,
)
from webhook_app.store.incidents.alerts import EndedFailures
from webhook_app.store.postgres.engine import Connection

FailedByCode = Mapping[int, Sequence[FailedMessages]]
_Ends = tuple[tuple[int, datetime], ...]

_RECENT_MINUTES = 15
_LONG_MINUTES = 120
_LONG_CACHE_FOR = timedelta(seconds=60)
_LONGEST_PAST = timedelta(days=31)
"""Windows and the hours before them that rules read."""


class CountedSpan(Struct):
    """The counts of one span of time, read at once. `found`: without failures that ended alerts held."""

    start: datetime
    end: datetime
    counts: WindowCounts
    found: WindowCounts
    reported: ReportedCounts = NOTHING_REPORTED
    of_webhooks: tuple[_Ends, WindowCounts] | None = None
    """What webhooks alone show, with the ends of the alerts whose failures were left out."""


class SpanCache:
    """Counts kept between evaluations. Those of summed hours are read again after each summed hour."""

    def __init__(self) -> None:
        self.hour: datetime | None = None
        """The last summed hour."""
        self.hours: dict[tuple[datetime, datetime], CountedSpan] = {}
        self.long_windows: dict[int, tuple[datetime, CountedSpan]] = {}
        self.spent: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]] = {}
        """Failures of ended incidents by incident and span."""
        self.spent_of_webhooks: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]] = {}
        self.known_ends: _Ends = ()
        self.older: dict[int, tuple[_Ends, CountedSpan]] = {}
        """The older minutes of windows up to two hours, with the incidents that had ended."""
        self.silence_minutes = 0
        """The window in which webhooks were counted last; 0 if they never were."""

    def renew(self, hour: datetime | None) -> bool:
        """Clear what goes by summed hours if another has been summed since; returns whether."""
        if hour == self.hour:
            return False
        self.hour = hour
        self.hours, self.spent, self.spent_of_webhooks = {}, {}, {}
        return True


class CountedSpans:
    """The counts of windows up to `now`, and of spans before them. `ended`: what alerts held that have ended."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        cache: SpanCache,
        ended: Callable[[], Sequence[EndedFailures]],
    ) -> None:
        self.ended = ended
        self._connection = connection
        self._now = now
        self._cache = cache
        self._reports: bool | None = None
        self._windows: dict[int, WindowCounts] = {}
        self._recent: dict[int, CountedSpan] = {}
        self._lately: dict[int, CountedSpan] = {}
        self._events: dict[int, dict[SeriesKey, int]] = {}
        self._failed: dict[tuple[datetime, datetime], FailedByCode] = {}

    def window(self, minutes: int) -> WindowCounts:
        """The counts of the window as a whole."""
        if minutes not in self._windows:
            found = [span.found for span in self.of_window(minutes)]
            self._windows[minutes] = found[0] if len(found) == 1 else WindowCounts.joined(*found)
        return self._windows[minutes]

    def of_window(self, minutes: int) -> list[CountedSpan]:
        """The counts of the window, in parts that are kept for different times."""
        if minutes > _LONG_MINUTES:
            return [self._long_window(minutes)]
        if minutes > _RECENT_MINUTES:
            return [self._older(minutes), *self.of_window(_RECENT_MINUTES)]
        if minutes not in self._recent:
            self._recent[minutes] = self._read(minutes)
        return [self._recent[minutes]]

    def usual(self, minutes: int, hours: int) -> CountedSpan:
        """The hours before the window."""
        end = _hour(rates.window(self._now, minutes)[0])
        return self._hours(end - HOUR * hours, end)

    def met(self, minutes: int, days: int) -> CountedSpan:
        """The days before the window, up to the last summed hour."""
        end = self._summed_until(minutes)
        return self._hours(end - timedelta(days=days), end)

    def met_lately(self, minutes: int) -> CountedSpan:
        """The failures between the last summed hour and the window. Each counts for each of its codes."""
        if minutes not in self._lately:
            start, end = self._summed_until(minutes), rates.window(self._now, minutes)[0]
            is_empty = start >= end
            failed = [] if is_empty else rates.failures_by_code_and_series(self._connection, start, end)
            reported = NOTHING_REPORTED if is_empty else self._reported_between(start, end)
            counts = WindowCounts({}, failed)
            self._lately[minutes] = CountedSpan(start, end, counts, by_mark(counts), reported)
        return self._lately[minutes]

    def attempts_of_day(self) -> Counter[SeriesKey]:
        """The attempts of the last 24 hours by series."""
        end = self._summed_until(0)
        attempts = Counter(self._hours(end - timedelta(hours=24), end).counts.attempts)
        attempts.update(rates.attempts_by_series(self._connection, end, self._now + timedelta(minutes=1)))
        return attempts

    def events(self, minutes: int) -> dict[SeriesKey, int]:
        """The number of status events in the window."""
        if minutes not in self._events:
            span = rates.window(self._now, minutes)
            self._events[minutes] = traffic.events_by_series(self._connection, *span)
            self._cache.silence_minutes = minutes
        return self._events[minutes]

    @property
    def has_reports(self) -> bool:
        """Whether senders reported anything that a rule may read."""
        if self._reports is None:
            self._reports = webhook_counts.has_reports(self._connection, self._now - _LONGEST_PAST)
        return self._reports

    def failures_of_webhooks(self, start: datetime, end: datetime) -> list[FailedMessages]:
        """The messages that webhooks say failed in this time."""
        return webhook_counts.failures(self._connection, start, end)

    def _read(self, minutes: int) -> CountedSpan:
        start, end = rates.window(self._now, minutes)
        attempts = self._recent_attempts(start, end)
        failed = rates.failures_by_code_and_series(self._connection, start, end)
        return self._span(WindowCounts(attempts, failed), start, end)

    def _recent_attempts(self, start: datetime, end: datetime) -> dict[SeriesKey, int]:
        """The attempts of a window, read together with the webhooks of the window that rules of kind silence need."""
        minutes = self._cache.silence_minutes
        if not minutes or minutes in self._events:
            return rates.attempts_by_series(self._connection, start, end)
        silent_since, _ = rates.window(self._now, minutes)
        attempts, events = traffic.attempts_and_events(self._connection, start, silent_since, end)
        self._events[minutes] = events
        return attempts

    def _older(self, minutes: int) -> CountedSpan:
        """The minutes of a window before the most recent ones, at most a minute old: only late events change them."""
        start, end = rates.window(self._now, minutes)[0], rates.window(self._now, _RECENT_MINUTES)[0]
        key = tuple((ended.incident_id, ended.end) for ended in self.ended())
        cached = self._cache.older.get(minutes)
        if cached is None or (cached[0], cached[1].start) != (key, start):
            span = self._span(rates.read_window(self._connection, start, end), start, end)
            cached = self._cache.older[minutes] = (key, span)
        return cached[1]

    def _long_window(self, minutes: int) -> CountedSpan:
        """Full hours from the hourly counts, the rest from the minutes; at most a minute old."""
        known_ends = tuple((ended.incident_id, ended.end) for ended in self.ended())
        if known_ends != self._cache.known_ends:
            self._cache.known_ends, self._cache.long_windows = known_ends, {}
        cached = self._cache.long_windows.get(minutes)
        if cached is not None and timedelta(0) <= self._now - cached[0] < _LONG_CACHE_FOR:
            return cached[1]
        start, end = rates.window(self._now, minutes)
        hours = (_hour(start), max(self._summed_until(0), _hour(start)) if self._cache.hour else _hour(start))
        past = self._hours(*hours)
        counts = past.counts.plus(rates.read_window(self._connection, hours[1], end))
        lately = self._reported_between(hours[1], end)
        reported = past.reported.plus(lately) if lately.failed else past.reported
        span = CountedSpan(hours[0], end, counts, self._without_ended(counts, hours[0], end), reported)
        self._cache.long_windows[minutes] = (self._now, span)
        return span

    def _hours(self, start: datetime, end: datetime) -> CountedSpan:
        """The sums of these hours, read once an hour."""
        if (start, end) not in self._cache.hours:
            counts = baselines.read(self._connection, start, end)
            reported = (
                baselines.read_reported(self._connection, start, end)
                if self.has_reports
                else NOTHING_REPORTED
            )
            self._cache.hours[start, end] = CountedSpan(start, end, counts, counts, _unless_empty(reported))
        return self._cache.hours[start, end]

    def _span(self, counts: WindowCounts, start: datetime, end: datetime) -> CountedSpan:
        """The counts of this time, with what was reported by now: both are read together."""
        return CountedSpan(
            start, end, counts, self._without_ended(counts, start, end), self._reported_between(start, end)
        )

    def _reported_between(self, start: datetime, end: datetime) -> ReportedCounts:
        if not self.has_reports:
            return NOTHING_REPORTED
        return _unless_empty(webhook_counts.read_reported(self._connection, start, end))

    def _without_ended(self, window: WindowCounts, start: datetime, end: datetime) -> WindowCounts:
        """The window without failures that an alert held which has ended: they are not judged twice."""
        spent: Counter[tuple[Mark, ...]] = Counter()
        for ended in self.ended():
            span = max(start, ended.start), min(end, ended.end)
            if span[0] >= span[1]:
                continue
            key = ended.incident_id, *span
            if key not in self._cache.spent:
                self._cache.spent[key] = spent_by(ended, self._failed_between(*span))
            spent.update(self._cache.spent[key])
        return window.without(spent) if spent else window

    def _failed_between(self, start: datetime, end: datetime) -> FailedByCode:
        """The failures of this time by code, read once for all incidents that ended together."""
        if (start, end) not in self._failed:
            failed = rates.failures_by_code_and_series(self._connection, start, end)
            self._failed[start, end] = sorted_by_code(failed)
        return self._failed[start, end]

    def _summed_until(self, minutes: int) -> datetime:
        start = _hour(rates.window(self._now, minutes)[0])
        return min(start, self._summed_end) if self._cache.hour else start

    @property
    def _summed_end(self) -> datetime:
        """The end of the last summed hour."""
        return self._cache.hour + HOUR if self._cache.hour else datetime.min.replace(tzinfo=UTC)


def by_mark(window: WindowCounts) -> WindowCounts:
    """The failures of the window, where a message that failed several times counts for each of its codes."""
    return WindowCounts({}, [FailedMessages((mark,), 1) for one in window.failed for mark in one.marks])


def sorted_by_code(failures: Iterable[FailedMessages]) -> FailedByCode:
    """The failures of each code."""
    by_code: defaultdict[int, list[FailedMessages]] = defaultdict(list)
    for failed in failures:
        for code in {mark.code for mark in failed.marks}:
            by_code[code].append(failed)
    return by_code


def spent_by(ended: EndedFailures, by_code: FailedByCode) -> Counter[tuple[Mark, ...]]:
    """Those of the failures that the ended alerts of an incident held."""
    names = {name: frozenset(values) for name, values in ended.names.items()}
    groups, found = HeldGroups(ended.groups), Counter[tuple[Mark, ...]]()
    for failed in {id(each): each for code in ended.codes for each in by_code.get(code, ())}.values():
        if any(code in ended.codes and groups.hold(code, series, names) for code, series in failed.marks):
            found[failed.marks] += failed.messages
    return found


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _unless_empty(reported: ReportedCounts) -> ReportedCounts:
    return reported if reported.failed or reported.attempts else NOTHING_REPORTED
