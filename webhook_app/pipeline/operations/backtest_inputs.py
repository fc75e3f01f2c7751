"""The inputs of the rules at any minute of the past: counts by minute, read in stretches and held in memory."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from webhook_app.pipeline.incidents.findings.finding_inputs import count_unreached
from webhook_app.pipeline.incidents.incident_store import Failures, Groups, StoredFailures
from webhook_app.pipeline.incidents.inputs.outcome_inputs import outcome_span
from webhook_app.pipeline.incidents.inputs.rule_inputs import REPORTED_MINUTES, WEBHOOK_DELAY
from webhook_app.pipeline.operations.backtest_outcomes import OutcomeWindows, PastOutcomes
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.anomalies import hours_to_compare, usual_webhooks
from webhook_app.rules.incidents.evidence import AcceptedSends, HeldGroups, ReportedCalls
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.rules.incidents.findings.observed_states import UnreachedList
from webhook_app.rules.incidents.outcomes import usual_hours
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import baselines, minutes, rates
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.counts.messages import outcome_counts
from webhook_app.store.counts.messages.outcome_counts import OutcomeCounts, as_window
from webhook_app.store.counts.minutes import Minute
from webhook_app.store.counts.window_counts import FailedMessages, GroupKey, Mark, WindowCounts, values_of
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reports

MINUTE = timedelta(minutes=1)
DAY_MINUTES = 1_440

_Any = TypeVar("_Any")


class Past(PastOutcomes, Protocol):
    """What was counted at any time."""

    @property
    def failures(self) -> Failures: ...
    def minutes(self, start: datetime, end: datetime) -> dict[datetime, Minute]: ...
    def hours(self, start: datetime, end: datetime) -> WindowCounts: ...
    def first_hours(self, since: datetime) -> dict[SeriesKey, datetime]: ...
    def events_in(self, hours: Sequence[datetime]) -> dict[datetime, dict[SeriesKey, int]]: ...
    def failures_between(self, start: datetime, end: datetime) -> list[FailedMessages]: ...
    def sends(self, start: datetime, end: datetime) -> AcceptedSends: ...
    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]: ...
    def unreached(self, campaign: str, waba_id: str, messages: int, now: datetime) -> UnreachedList: ...


class StoredPast:
    """The past in the tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def failures(self) -> Failures:
        return StoredFailures(self._connection)

    def minutes(self, start: datetime, end: datetime) -> dict[datetime, Minute]:
        return minutes.read(self._connection, start, end)

    def hours(self, start: datetime, end: datetime) -> WindowCounts:
        return baselines.read(self._connection, start, end)

    def first_hours(self, since: datetime) -> dict[SeriesKey, datetime]:
        return baselines.first_hours(self._connection, since)

    def events_in(self, hours: Sequence[datetime]) -> dict[datetime, dict[SeriesKey, int]]:
        return baselines.events_in(self._connection, hours)

    def failures_between(self, start: datetime, end: datetime) -> list[FailedMessages]:
        return rates.failures_by_code_and_series(self._connection, start, end)

    def sends(self, start: datetime, end: datetime) -> AcceptedSends:
        return reports.accepted_by_number(self._connection, start, end)

    def outcomes(
        self, measure: OutcomeMeasure, start: datetime, end: datetime
    ) -> dict[datetime, OutcomeCounts]:
        return outcome_counts.read_minutes(self._connection, measure, start, end)

    def outcome_hours(self, measure: OutcomeMeasure, hours: Sequence[datetime]) -> OutcomeCounts:
        return outcome_counts.read_hours(self._connection, measure, hours)

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        found = health.subjects(self._connection, health.HealthFilters(), _MAX_SUBJECTS)
        reported = health.reported_health(self._connection, found)
        return [(each, reported[each.subject, each.subject_id]) for each in found]

    def unreached(self, campaign: str, waba_id: str, messages: int, now: datetime) -> UnreachedList:
        return count_unreached(self._connection, campaign, waba_id, messages, now)


class _SlidingWindow:
    """A sliding window of one length. Its sums are updated with each minute instead of computed again."""

    def __init__(self, length: int, groupings: Collection[tuple[str, ...]], *, with_events: bool) -> None:
        self._length = length + 1  # the full minutes and the running one
        self._held: deque[Minute] = deque()
        self._with_again: deque[Minute] = deque()
        self._attempts: Counter[SeriesKey] = Counter()
        self._by_group: dict[tuple[str, ...], Counter[GroupKey]] = {names: Counter() for names in groupings}
        self._values = [(values_of(names), sums) for names, sums in self._by_group.items()]
        self._events: Counter[SeriesKey] | None = Counter() if with_events else None
        self._once: Counter[Mark] = Counter()
        self._counts: WindowCounts | None = None

    def push(self, minute: Minute) -> None:
        self._held.append(minute)
        self._add(minute, 1)
        if minute.again:
            self._with_again.append(minute)
        if len(self._held) > self._length:
            oldest = self._held.popleft()
            self._add(oldest, -1)
            if self._with_again and self._with_again[0] is oldest:
                self._with_again.popleft()
        self._counts = None

    def _add(self, minute: Minute, sign: int) -> None:
        for series, attempts in minute.attempts.items():
            _add(self._attempts, series, sign * attempts)
            for values, sums in self._values:
                _add(sums, values(series), sign * attempts)
        for mark, messages in minute.once.items():
            _add(self._once, mark, sign * messages)
        if self._events is not None:
            for series, events in minute.events.items():
                _add(self._events, series, sign * events)

    def spend(self, back: int, marks: Mapping[Mark, int]) -> None:
        """Take these failures out, `back` minutes before the running one."""
        if back < len(self._held):
            for mark, messages in marks.items():
                _add(self._once, mark, -messages)
            self._counts = None

    @property
    def held(self) -> deque[Minute]:
        return self._held

    @property
    def counts(self) -> WindowCounts:
        """The counts. They change with the next minute."""
        if self._counts is None:
            failed = [FailedMessages((mark,), messages) for mark, messages in self._once.items()]
            marks: dict[tuple[str, str], set[Mark]] = {}
            for minute in self._with_again:
                for message, mark in minute.again:
                    marks.setdefault(message, set()).add(mark)
            again = Counter(tuple(sorted(held)) for held in marks.values())
            failed += [FailedMessages(held, messages) for held, messages in again.items()]
            self._counts = WindowCounts(self._attempts, failed)
            self._counts.attempts_by_names.update(self._by_group)
        return self._counts

    @property
    def events(self) -> dict[SeriesKey, int]:
        return dict(self._events or {})


class PastInputs:
    """The inputs at successive minutes; call `go_to` with increasing times.

    `lengths`: of the windows that the rules use; `groupings`: the sets of dimensions they group by, without the code.
    `silences`, `outcomes`: the windows of rules of these kinds.
    """

    def __init__(
        self,
        past: Past,
        start: datetime,
        lengths: Collection[int],
        groupings: Collection[tuple[str, ...]] = (),
        silences: Collection[int] = (),
        outcomes: Collection[tuple[OutcomeMeasure, int]] = (),
    ) -> None:
        self._past = past
        every = {*lengths, *silences, DAY_MINUTES}
        self._longest = max(every)
        self._windows = {
            length: _SlidingWindow(
                length, groupings if length in lengths else (), with_events=length in silences
            )
            for length in every
        }
        self._next = start.replace(second=0, microsecond=0) - MINUTE * self._longest
        self._loaded: dict[datetime, Minute] = {}
        self._loaded_until = self._next
        self._outcomes = OutcomeWindows(past, outcomes)
        self.ends: dict[tuple[str, str], datetime] = {}
        """When the last alert ended that did not go quiet, by rule and group key."""
        self._now = start
        self.chronic = ChronicStates((), start)
        self._hourly: dict[object, object] = {}
        self._health: list[tuple[Subject, list[ReportedHealth]]] | None = None

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def failures(self) -> Failures:
        return self._past.failures

    def go_to(self, now: datetime) -> None:
        """Move to this minute, which becomes the running one."""
        self._now = now
        floor = now.replace(second=0, microsecond=0)
        while self._next <= floor:
            if self._next >= self._loaded_until:
                self._load()
            minute = self._loaded.pop(self._next, None) or Minute()
            for window in self._windows.values():
                window.push(minute)
            self._next += MINUTE
        self._outcomes.go_to(now)

    def spend(self, codes: Collection[int], groups: Groups, start: datetime, end: datetime) -> None:
        """Take out failures that an ended alert held: they are not judged twice."""
        held, lying_in = self._windows[self._longest].held, HeldGroups(groups)

        def is_held(mark: Mark) -> bool:
            return mark.code in codes and lying_in.hold(*mark, {})

        latest = self._next - MINUTE
        first, last = (max(int((latest - moment) // MINUTE), 0) for moment in (end, start))
        for back in range(first, min(last + 1, len(held))):
            minute = held[-1 - back]
            marks = {mark: count for mark, count in minute.once.items() if is_held(mark)}
            for mark in marks:
                del minute.once[mark]
            minute.again = [each for each in minute.again if not is_held(each[1])]
            for window in self._windows.values():
                window.spend(back, marks)

    def window(self, minutes: int) -> WindowCounts:
        return self._windows[minutes].counts

    def beyond_reports(self) -> None:
        """None: the counts of the past are not kept apart, and what senders reported counts like webhooks."""

    def reported(self, minutes: int) -> WindowCounts:
        del minutes
        return WindowCounts({}, [])

    def reported_calls(self, minutes: int = REPORTED_MINUTES) -> ReportedCalls:
        del minutes
        return {}

    def known_numbers(self) -> frozenset[str]:
        """No numbers: nothing is ranked by them, as all failures count like those of webhooks."""
        return frozenset()

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        return self._windows[minutes].events

    def attempts_of_day(self) -> dict[SeriesKey, int]:
        return self._windows[DAY_MINUTES].counts.attempts

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        end = _hour(rates.window(self._now, minutes)[0])
        return self._remember(("usual", end, hours), lambda: self._past.hours(end - HOUR * hours, end))

    def outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        return self._outcomes.window(measure, minutes)

    def usual_outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        hours = usual_hours(*outcome_span(measure, minutes, self._now))
        return self._remember(
            ("outcomes", measure, hours), lambda: as_window(self._past.outcome_hours(measure, hours))
        )

    def ended_outcomes(self) -> Mapping[tuple[str, str], datetime]:
        return self.ends

    def met(self, minutes: int, days: int) -> WindowCounts:
        return self.usual(minutes, days * 24)

    def met_lately(self, minutes: int) -> WindowCounts:
        start = rates.window(self._now, minutes)[0]
        failed = self._past.failures_between(_hour(start), start) if _hour(start) < start else []
        return WindowCounts({}, [FailedMessages((mark,), 1) for one in failed for mark in one.marks])

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        since = _hour(self._now) - timedelta(days=days)
        return self._remember(("known", since), lambda: self._past.first_hours(since))

    def usual_webhooks(self, minutes: int) -> dict[int, dict[SeriesKey, float]]:
        hour = _hour(self._now - timedelta(minutes=minutes))

        def read() -> dict[int, dict[SeriesKey, float]]:
            hours = [at for day in hours_to_compare(hour).values() for at in day]
            return usual_webhooks(hour, self._past.events_in(hours), minutes)

        return self._remember(("webhooks", hour, minutes), read)

    def sends(self, minutes: int) -> AcceptedSends:
        start, end = rates.window(self._now, minutes)
        return self._past.sends(start, end - WEBHOOK_DELAY)

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        if self._health is None:
            self._health = [(subject, found) for subject, found in self._past.reported_health() if found]
        return [
            (subject, known)
            for subject, found in self._health
            if (known := [report for report in found if report.occurred_at <= self._now])
        ]

    def _load(self) -> None:
        start, self._loaded_until = self._loaded_until, self._loaded_until + _READ_AHEAD
        self._loaded |= self._past.minutes(start, self._loaded_until)

    def _remember(self, name: tuple[object, ...], read: Callable[[], _Any]) -> _Any:
        """Return the cached value, or read it. The cache is cleared when it is full."""
        if name not in self._hourly:
            if len(self._hourly) > _MAX_CACHED:
                self._hourly.clear()
            self._hourly[name] = read()
        found: _Any = self._hourly[name]  # type: ignore[assignment]  # the type that `read` returns
        return found


_READ_AHEAD = timedelta(hours=2)
_MAX_CACHED = 64
_MAX_SUBJECTS = 100_000


def _add(sums: Counter[_Any], key: _Any, number: int) -> None:
    total = sums[key] + number
    if total:
        sums[key] = total
    else:
        sums.pop(key, None)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
