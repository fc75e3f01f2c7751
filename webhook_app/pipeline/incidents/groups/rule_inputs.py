"""Reads the inputs of the rules at one time, each when first needed and at most once.

A class with the same methods for a time in the past lets the same rules judge that time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from webhook_app.pipeline.incidents.findings.finding_store import chronic_states
from webhook_app.pipeline.incidents.groups.outcome_inputs import OutcomeCache, OutcomeInputs
from webhook_app.pipeline.incidents.groups.webhook_windows import (
    CountedSpan,
    CountInputs,
    FailedByCode,
    WebhookInputs,
    by_mark,
    sorted_by_code,
    spent_by,
)
from webhook_app.pipeline.incidents.incident_store import Failures, StoredFailures
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.alerts import OUTCOME_KINDS
from webhook_app.rules.incidents.anomalies import hours_to_compare, usual_webhooks
from webhook_app.rules.incidents.evidence import ReportedCalls
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.store.accounts import health, numbers
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import baselines, rates, traffic, webhook_counts
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.counts.window_counts import (
    NOTHING_REPORTED,
    FailedMessages,
    Mark,
    ReportedCounts,
    WindowCounts,
)
from webhook_app.store.incidents import alerts, findings
from webhook_app.store.incidents.alerts import EndedFailures
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reporters, reports


class RuleInputs(CountInputs, Protocol):
    """Everything that rules judge by at one time. `minutes` is the length of the window in full minutes, besides the
    running one.
    """

    @property
    def failures(self) -> Failures:
        """The failed messages that describe an incident."""
        ...

    def beyond_reports(self) -> CountInputs | None:
        """The counts without what senders report, which may be made up; None where nothing is reported."""
        ...

    def reported(self, minutes: int) -> WindowCounts:
        """The messages of the window of which senders reported a failure."""
        ...

    def reported_calls(self) -> ReportedCalls:
        """The failed calls of the last hour that senders reported."""
        ...

    def known_numbers(self) -> frozenset[str]:
        """The business numbers that webhooks or the Graph API have named."""
        ...

    def attempts_of_day(self) -> dict[SeriesKey, int]:
        """Messages of the last 24 hours by series."""
        ...

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        """The number of status events in the window."""
        ...

    def usual_webhooks(self, minutes: int) -> dict[int, dict[SeriesKey, float]]:
        """Status events of a window of this length at this time, by number of days before, of days that are known."""
        ...

    def sends(self, minutes: int) -> dict[str, int]:
        """Accepted sends in the window by business number, without those too recent to have a webhook."""
        ...

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        """Accounts, numbers and templates with what Meta had reported of each."""
        ...


class ReadCache:
    """Inputs that change once an hour, cached between evaluations and read again after each summed hour."""

    def __init__(self) -> None:
        self.hour: datetime | None = None
        self.usual: dict[tuple[datetime, datetime], CountedSpan] = {}
        self.usual_webhooks: dict[tuple[datetime, int], dict[int, dict[SeriesKey, float]]] = {}
        self.known_since: dict[datetime, dict[SeriesKey, datetime]] = {}
        self.expensive: dict[tuple[str, str], tuple[datetime, int]] = {}
        self.long_windows: dict[int, tuple[datetime, CountedSpan]] = {}
        self.spent: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]] = {}
        """Failures of ended incidents by incident and span."""
        self.spent_of_webhooks: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]] = {}
        self.known_ends: tuple[tuple[int, datetime], ...] = ()
        self.older: dict[int, tuple[tuple[tuple[int, datetime], ...], CountedSpan]] = {}
        """The older minutes of windows up to two hours, with the incidents that had ended."""
        self.outcomes = OutcomeCache()
        self.silence_minutes = 0
        """The window in which webhooks were counted last; 0 if they never were."""

    def renew(self, hour: datetime | None) -> None:
        """Clear the cache if another hour has been summed since."""
        if hour != self.hour:
            self.hour = hour
            self.usual, self.usual_webhooks, self.known_since = {}, {}, {}
            self.spent, self.spent_of_webhooks = {}, {}


class LiveInputs:
    """The inputs at `now`, read from the database, best in one snapshot."""

    def __init__(self, connection: Connection, now: datetime, cache: ReadCache | None = None) -> None:
        self.connection = connection
        self._now = now
        self._cache = cache or ReadCache()
        self._cache.renew(baselines.latest_hour(connection))
        self._windows: dict[int, WindowCounts] = {}
        self._recent: dict[int, CountedSpan] = {}
        self._reports: bool | None = None
        self._day: Counter[SeriesKey] | None = None
        self._numbers: frozenset[str] | None = None
        self._calls: ReportedCalls | None = None
        self._webhooks: dict[int, dict[SeriesKey, int]] = {}
        self._chronic: ChronicStates | None = None
        self._health: list[tuple[Subject, list[ReportedHealth]]] | None = None
        self._lately: dict[int, CountedSpan] = {}
        self._failed: dict[tuple[datetime, datetime], FailedByCode] = {}
        self._ended_failures: list[EndedFailures] | None = None
        self._ended_outcomes: Mapping[tuple[str, str], datetime] | None = None
        self._outcomes = OutcomeInputs(connection, now, self._cache.outcomes)
        self._of_webhooks = WebhookInputs(self, self._cache.spent_of_webhooks)

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def failures(self) -> Failures:
        return StoredFailures(self.connection)

    @property
    def chronic(self) -> ChronicStates:
        if self._chronic is None:
            self._chronic = chronic_states(findings.open_findings(self.connection), self._now)
        return self._chronic

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        if self._health is None:
            found = health.subjects(self.connection, health.HealthFilters(), _MAX_SUBJECTS)
            reports = health.reported_health(self.connection, found)
            self._health = [(each, reports[each.subject, each.subject_id]) for each in found]
        return self._health

    def remembered(
        self, kind: str, names: Iterable[str], read: Callable[[list[str]], Mapping[str, int]]
    ) -> dict[str, int]:
        """Figures that are expensive to read, at most five minutes old; those that are older are read together."""
        cached, now = self._cache.expensive, self._now
        wanted = {name: cached.get((kind, name), (datetime.max.replace(tzinfo=UTC), 0)) for name in names}
        if stale := [name for name, (at, _) in wanted.items() if not timedelta(0) <= now - at < _CACHE_FOR]:
            found = read(stale)
            fresh = {name: (now, found.get(name, 0)) for name in stale}
            cached |= {(kind, name): figure for name, figure in fresh.items()}
            wanted |= fresh
        return {name: figure for name, (_, figure) in wanted.items()}

    def window(self, minutes: int) -> WindowCounts:
        if minutes not in self._windows:
            found = [span.found for span in self.spans(minutes)]
            self._windows[minutes] = found[0] if len(found) == 1 else WindowCounts.joined(*found)
        return self._windows[minutes]

    def spans(self, minutes: int) -> list[CountedSpan]:
        """The counts of the window, in parts that are kept for different times."""
        if minutes > _LONG_MINUTES:
            return [self._long_window(minutes)]
        if minutes > _RECENT_MINUTES:
            return [self._older(minutes), *self.spans(_RECENT_MINUTES)]
        if minutes not in self._recent:
            self._recent[minutes] = self._read(minutes)
        return [self._recent[minutes]]

    def beyond_reports(self) -> CountInputs | None:
        return self._of_webhooks if self._has_reports else None

    def reported(self, minutes: int) -> WindowCounts:
        return WindowCounts({}, [each for span in self.spans(minutes) for each in span.reported.failed])

    @property
    def _has_reports(self) -> bool:
        if self._reports is None:
            self._reports = webhook_counts.has_reports(self.connection, self._now - _LONGEST_PAST)
        return self._reports

    def reported_calls(self) -> ReportedCalls:
        if self._calls is None:
            self._calls = reporters.calls_by_key(self.connection, *rates.window(self._now, _REPORTED_MINUTES))
        return self._calls

    def known_numbers(self) -> frozenset[str]:
        if self._numbers is None:
            self._numbers = numbers.known_ids(self.connection)
        return self._numbers

    def _older(self, minutes: int) -> CountedSpan:
        """The minutes of a window before the most recent ones, at most a minute old: only late events change them."""
        start, end = rates.window(self._now, minutes)[0], rates.window(self._now, _RECENT_MINUTES)[0]
        key = tuple((ended.incident_id, ended.end) for ended in self.ended())
        cached = self._cache.older.get(minutes)
        if cached is None or (cached[0], cached[1].start) != (key, start):
            span = self._span(rates.read_window(self.connection, start, end), start, end)
            cached = self._cache.older[minutes] = (key, span)
        return cached[1]

    def _read(self, minutes: int) -> CountedSpan:
        start, end = rates.window(self._now, minutes)
        attempts = self._recent_attempts(start, end)
        failed = rates.failures_by_code_and_series(self.connection, start, end)
        return self._span(WindowCounts(attempts, failed), start, end)

    def _span(self, counts: WindowCounts, start: datetime, end: datetime) -> CountedSpan:
        """The counts of this time, with what was reported by now: both are read together."""
        return CountedSpan(
            start, end, counts, self._without_ended(counts, start, end), self._reported_between(start, end)
        )

    def _reported_between(self, start: datetime, end: datetime) -> ReportedCounts:
        if not self._has_reports:
            return NOTHING_REPORTED
        return _unless_empty(webhook_counts.read_reported(self.connection, start, end))

    def _recent_attempts(self, start: datetime, end: datetime) -> dict[SeriesKey, int]:
        """The attempts of a window, read together with the webhooks of the window that rules of kind silence need."""
        minutes = self._cache.silence_minutes
        if not minutes or minutes in self._webhooks:
            return rates.attempts_by_series(self.connection, start, end)
        silent_since, _ = rates.window(self._now, minutes)
        attempts, events = traffic.attempts_and_events(self.connection, start, silent_since, end)
        self._webhooks[minutes] = events
        return attempts

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
        counts = past.counts.plus(rates.read_window(self.connection, hours[1], end))
        lately = self._reported_between(hours[1], end)
        reported = past.reported.plus(lately) if lately.failed else past.reported
        span = CountedSpan(hours[0], end, counts, self._without_ended(counts, hours[0], end), reported)
        self._cache.long_windows[minutes] = (self._now, span)
        return span

    def _hours(self, start: datetime, end: datetime) -> CountedSpan:
        """The sums of these hours, read once an hour."""
        if (start, end) not in self._cache.usual:
            counts = baselines.read(self.connection, start, end)
            reported = (
                baselines.read_reported(self.connection, start, end)
                if self._has_reports
                else NOTHING_REPORTED
            )
            self._cache.usual[start, end] = CountedSpan(start, end, counts, counts, _unless_empty(reported))
        return self._cache.usual[start, end]

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
            failed = rates.failures_by_code_and_series(self.connection, start, end)
            self._failed[start, end] = sorted_by_code(failed)
        return self._failed[start, end]

    def failures_of_webhooks(self, start: datetime, end: datetime) -> list[FailedMessages]:
        """The messages that webhooks say failed in this time."""
        return webhook_counts.failures(self.connection, start, end)

    def ended(self) -> list[EndedFailures]:
        """What alerts held that have ended."""
        if self._ended_failures is None:
            self._ended_failures = alerts.ended_failures(self.connection, self._now - _LONGEST_WINDOW)
        return self._ended_failures

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        return self.usual_span(minutes, hours).found

    def usual_span(self, minutes: int, hours: int) -> CountedSpan:
        """The hours before the window."""
        end = _hour(rates.window(self._now, minutes)[0])
        return self._hours(end - HOUR * hours, end)

    def outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        return self._outcomes.window(measure, minutes)

    def usual_outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        return self._outcomes.usual(measure, minutes)

    def ended_outcomes(self) -> Mapping[tuple[str, str], datetime]:
        if self._ended_outcomes is None:
            since = self._now - _LONGEST_WINDOW
            self._ended_outcomes = alerts.last_ends(self.connection, OUTCOME_KINDS, since)
        return self._ended_outcomes

    def attempts_of_day(self) -> dict[SeriesKey, int]:
        if self._day is None:
            end = self._summed_until(0)
            self._day = Counter(self._hours(end - timedelta(hours=24), end).counts.attempts)
            self._day.update(rates.attempts_by_series(self.connection, end, self._now + timedelta(minutes=1)))
        return self._day

    def met(self, minutes: int, days: int) -> WindowCounts:
        return self.met_span(minutes, days).found

    def met_span(self, minutes: int, days: int) -> CountedSpan:
        """The days before the window, up to the last summed hour."""
        end = self._summed_until(minutes)
        return self._hours(end - timedelta(days=days), end)

    def met_lately(self, minutes: int) -> WindowCounts:
        return self.met_lately_span(minutes).found

    def met_lately_span(self, minutes: int) -> CountedSpan:
        """The failures between the last summed hour and the window. Each counts for each of its codes."""
        if minutes not in self._lately:
            start, end = self._summed_until(minutes), rates.window(self._now, minutes)[0]
            is_empty = start >= end
            failed = [] if is_empty else rates.failures_by_code_and_series(self.connection, start, end)
            reported = NOTHING_REPORTED if is_empty else self._reported_between(start, end)
            counts = WindowCounts({}, failed)
            self._lately[minutes] = CountedSpan(start, end, counts, by_mark(counts), reported)
        return self._lately[minutes]

    def _summed_until(self, minutes: int) -> datetime:
        start = _hour(rates.window(self._now, minutes)[0])
        return min(start, self._summed_end) if self._cache.hour else start

    @property
    def _summed_end(self) -> datetime:
        """The end of the last summed hour."""
        return self._cache.hour + HOUR if self._cache.hour else datetime.min.replace(tzinfo=UTC)

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        since = _hour(self._now) - timedelta(days=days)
        if since not in self._cache.known_since:
            self._cache.known_since[since] = baselines.first_hours(self.connection, since)
        return self._cache.known_since[since]

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        if minutes not in self._webhooks:
            span = rates.window(self._now, minutes)
            self._webhooks[minutes] = traffic.events_by_series(self.connection, *span)
            self._cache.silence_minutes = minutes
        return self._webhooks[minutes]

    def usual_webhooks(self, minutes: int) -> dict[int, dict[SeriesKey, float]]:
        hour = _hour(self._now - timedelta(minutes=minutes))
        cached = self._cache.usual_webhooks
        if (hour, minutes) not in cached:
            hours = [at for day in hours_to_compare(hour).values() for at in day]
            cached[hour, minutes] = usual_webhooks(hour, baselines.events_in(self.connection, hours), minutes)
        return cached[hour, minutes]

    def sends(self, minutes: int) -> dict[str, int]:
        start, end = rates.window(self._now, minutes)
        return reports.accepted_by_number(self.connection, start, end - WEBHOOK_DELAY)


_MAX_SUBJECTS = 100_000
_CACHE_FOR = timedelta(minutes=5)
_RECENT_MINUTES = 15
_LONG_MINUTES = 120
_REPORTED_MINUTES = 75
"""An alert fires only with a failure of the last hour."""
_LONG_CACHE_FOR = timedelta(seconds=60)
_LONGEST_WINDOW = timedelta(days=7)
_LONGEST_PAST = timedelta(days=31)
"""Windows and the hours before them that rules read."""

WEBHOOK_DELAY = timedelta(minutes=5)
"""Webhooks usually follow a send within seconds; a missing one counts only after this time."""


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _unless_empty(reported: ReportedCounts) -> ReportedCounts:
    return reported if reported.failed or reported.attempts else NOTHING_REPORTED
