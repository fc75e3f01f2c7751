"""The counts that webhooks alone show, without what senders report. Each is derived when needed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.evidence import HeldGroups
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.store.counts.window_counts import (
    NOTHING_REPORTED,
    FailedMessages,
    Mark,
    ReportedCounts,
    WindowCounts,
)
from webhook_app.store.incidents.alerts import EndedFailures

FailedByCode = Mapping[int, Sequence[FailedMessages]]
_Ends = tuple[tuple[int, datetime], ...]


class CountInputs(Protocol):
    """The counts at one time that judge the groups of a rule. `minutes` is the length of the window in full minutes,
    besides the running one.
    """

    @property
    def now(self) -> datetime: ...
    @property
    def chronic(self) -> ChronicStates:
        """The open chronic findings."""
        ...

    def window(self, minutes: int) -> WindowCounts:
        """The counts of the window: the last full minutes and the running one."""
        ...

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        """The counts of the hours before the window."""
        ...

    def outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The messages of the last minutes that the measure judges, as attempts, and those it counts, as failures."""
        ...

    def usual_outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The messages of the hours that say what is usual in the window of these outcomes."""
        ...

    def ended_outcomes(self) -> Mapping[tuple[str, str], datetime]:
        """When the last alert about outcomes ended that did not go quiet, by rule and group key.

        What it was about does not count again.
        """
        ...

    def met(self, minutes: int, days: int) -> WindowCounts:
        """The counts of the days before the window, up to the last summed hour."""
        ...

    def met_lately(self, minutes: int) -> WindowCounts:
        """The failures between the last summed hour and the window."""
        ...

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        """The first hour of each series within these days."""
        ...


class CountedSpan(Struct):
    """The counts of one span of time, read at once. `found`: without failures that ended alerts held."""

    start: datetime
    end: datetime
    counts: WindowCounts
    found: WindowCounts
    reported: ReportedCounts = NOTHING_REPORTED
    of_webhooks: tuple[_Ends, WindowCounts] | None = None
    """What webhooks alone show, with the ends of the alerts whose failures were left out."""


class SpanInputs(CountInputs, Protocol):
    """Inputs that know what senders reported."""

    def spans(self, minutes: int) -> Sequence[CountedSpan]: ...
    def usual_span(self, minutes: int, hours: int) -> CountedSpan: ...
    def met_span(self, minutes: int, days: int) -> CountedSpan: ...
    def met_lately_span(self, minutes: int) -> CountedSpan: ...
    def ended(self) -> Sequence[EndedFailures]: ...
    def failures_of_webhooks(self, start: datetime, end: datetime) -> Sequence[FailedMessages]: ...


class WebhookInputs:
    """The inputs without what senders report. `spent`: a cache of what ended alerts held, by incident and span."""

    def __init__(
        self, inputs: SpanInputs, spent: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]]
    ) -> None:
        self._inputs = inputs
        self._spent = spent
        self._windows: dict[int, WindowCounts] = {}
        self._failed: dict[tuple[datetime, datetime], FailedByCode] = {}
        self.known_since = inputs.known_since
        self.outcomes = inputs.outcomes
        self.usual_outcomes = inputs.usual_outcomes
        self.ended_outcomes = inputs.ended_outcomes

    @property
    def now(self) -> datetime:
        return self._inputs.now

    @property
    def chronic(self) -> ChronicStates:
        return self._inputs.chronic

    def window(self, minutes: int) -> WindowCounts:
        if minutes not in self._windows:
            spans = self._inputs.spans(minutes)
            parts = [self._without_ended(span) for span in spans]
            if all(part is span.found for part, span in zip(parts, spans, strict=True)):
                self._windows[minutes] = self._inputs.window(minutes)
            else:
                self._windows[minutes] = parts[0] if len(parts) == 1 else WindowCounts.joined(*parts)
        return self._windows[minutes]

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        return _of_webhooks(self._inputs.usual_span(minutes, hours))

    def met(self, minutes: int, days: int) -> WindowCounts:
        return _of_webhooks(self._inputs.met_span(minutes, days))

    def met_lately(self, minutes: int) -> WindowCounts:
        return by_mark(_of_webhooks(self._inputs.met_lately_span(minutes)))

    def _without_ended(self, span: CountedSpan) -> WindowCounts:
        """What webhooks show in the span, without failures that an alert held which they showed, until it ended."""
        every = self._inputs.ended()
        shown = [ended for each in every if (ended := each.of_webhooks) is not None]
        if span.reported is NOTHING_REPORTED and shown == list(every):
            return span.found
        ends = tuple((ended.incident_id, ended.end) for ended in shown)
        if span.of_webhooks is None or span.of_webhooks[0] != ends:
            window = span.counts if span.reported is NOTHING_REPORTED else span.counts.less(span.reported)
            spent = self._held(shown, span)
            span.of_webhooks = ends, window.without(spent) if spent else window
        return span.of_webhooks[1]

    def _held(self, shown: Iterable[EndedFailures], within: CountedSpan) -> Counter[tuple[Mark, ...]]:
        spent: Counter[tuple[Mark, ...]] = Counter()
        for ended in shown:
            span = max(within.start, ended.start), min(within.end, ended.end)
            if span[0] >= span[1]:
                continue
            key = ended.incident_id, *span
            if key not in self._spent:
                self._spent[key] = spent_by(ended, self._failed_between(*span))
            spent.update(self._spent[key])
        return spent

    def _failed_between(self, start: datetime, end: datetime) -> FailedByCode:
        if (start, end) not in self._failed:
            self._failed[start, end] = sorted_by_code(self._inputs.failures_of_webhooks(start, end))
        return self._failed[start, end]


def _of_webhooks(span: CountedSpan) -> WindowCounts:
    if span.reported is NOTHING_REPORTED:
        return span.found
    if span.of_webhooks is None:
        span.of_webhooks = (), span.counts.less(span.reported)
    return span.of_webhooks[1]


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
