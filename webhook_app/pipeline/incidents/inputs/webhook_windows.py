"""The counts that webhooks alone show, without what senders report. Each is derived when needed."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from webhook_app.pipeline.incidents.inputs.counted_spans import (
    CountedSpan,
    CountedSpans,
    FailedByCode,
    by_mark,
    sorted_by_code,
    spent_by,
)
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.store.counts.window_counts import NOTHING_REPORTED, Mark, WindowCounts
from webhook_app.store.incidents.alerts import EndedFailures


class WebhookInputs:
    """The inputs without what senders report. `spans`: those that `inputs` counts.

    `spent`: a cache of what ended alerts held, by incident and span.
    """

    def __init__(
        self,
        inputs: CountInputs,
        spans: CountedSpans,
        spent: dict[tuple[int, datetime, datetime], Counter[tuple[Mark, ...]]],
    ) -> None:
        self._inputs = inputs
        self._spans = spans
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
            spans = self._spans.of_window(minutes)
            parts = [self._without_ended(span) for span in spans]
            if all(part is span.found for part, span in zip(parts, spans, strict=True)):
                self._windows[minutes] = self._inputs.window(minutes)
            else:
                self._windows[minutes] = parts[0] if len(parts) == 1 else WindowCounts.joined(*parts)
        return self._windows[minutes]

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        return _of_webhooks(self._spans.usual(minutes, hours))

    def met(self, minutes: int, days: int) -> WindowCounts:
        return _of_webhooks(self._spans.met(minutes, days))

    def met_lately(self, minutes: int) -> WindowCounts:
        return by_mark(_of_webhooks(self._spans.met_lately(minutes)))

    def _without_ended(self, span: CountedSpan) -> WindowCounts:
        """What webhooks show in the span, without failures that an alert held which they showed, until it ended."""
        every = self._spans.ended()
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
            self._failed[start, end] = sorted_by_code(self._spans.failures_of_webhooks(start, end))
        return self._failed[start, end]


def _of_webhooks(span: CountedSpan) -> WindowCounts:
    if span.reported is NOTHING_REPORTED:
        return span.found
    if span.of_webhooks is None:
        span.of_webhooks = (), span.counts.less(span.reported)
    return span.of_webhooks[1]
