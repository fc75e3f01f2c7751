"""Sliding windows of outcomes at any minute of the past: messages without a delivery report, and slow ones."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from webhook_app.pipeline.incidents.inputs.outcome_inputs import MINUTE, outcome_span
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.store.counts.messages.outcome_counts import OutcomeCounts, as_window
from webhook_app.store.counts.window_counts import WindowCounts

_READ_AHEAD = timedelta(hours=2)


class PastOutcomes(Protocol):
    """The outcomes that were counted at any time."""

    def outcomes(
        self, measure: OutcomeMeasure, start: datetime, end: datetime
    ) -> dict[datetime, OutcomeCounts]: ...
    def outcome_hours(self, measure: OutcomeMeasure, hours: Sequence[datetime]) -> OutcomeCounts: ...


class OutcomeWindows:
    """The windows of these lengths in minutes, moved from minute to minute."""

    def __init__(self, past: PastOutcomes, wanted: Collection[tuple[OutcomeMeasure, int]]) -> None:
        self._past = past
        self._lengths: dict[OutcomeMeasure, list[int]] = {}
        for measure, minutes in sorted(set(wanted)):
            self._lengths.setdefault(measure, []).append(minutes)
        self._sums = {each: _Sums() for each in wanted}
        self._held: dict[OutcomeMeasure, dict[datetime, OutcomeCounts]] = {m: {} for m in self._lengths}
        self._loaded: dict[OutcomeMeasure, datetime] = {}

    def go_to(self, now: datetime) -> None:
        """Move to this minute, which is later than the last one."""
        for measure, lengths in self._lengths.items():
            held, longest = self._held[measure], outcome_span(measure, lengths[-1], now)
            self._load(measure, *longest)
            for minutes in lengths:
                self._sums[measure, minutes].move(held, *outcome_span(measure, minutes, now))
            for at in [at for at in held if at < longest[0]]:
                del held[at]

    def _load(self, measure: OutcomeMeasure, start: datetime, end: datetime) -> None:
        loaded = self._loaded.setdefault(measure, start)
        if loaded < end:
            self._loaded[measure] = end + _READ_AHEAD
            self._held[measure] |= self._past.outcomes(measure, loaded, end + _READ_AHEAD)

    def window(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The counts of the window at the minute it was moved to."""
        return self._sums[measure, minutes].counts


class _Sums:
    """The sums of one window. They change with the minutes that enter and leave it."""

    def __init__(self) -> None:
        self._start: datetime | None = None
        self._end: datetime | None = None
        self._messages: Counter[SeriesKey] = Counter()
        self._counted: Counter[SeriesKey] = Counter()
        self._counts: WindowCounts | None = None

    def move(self, held: dict[datetime, OutcomeCounts], start: datetime, end: datetime) -> None:
        self._add(held, self._end or start, end, 1)
        self._add(held, self._start or start, start, -1)
        self._start, self._end, self._counts = start, end, None

    def _add(self, held: dict[datetime, OutcomeCounts], start: datetime, end: datetime, sign: int) -> None:
        at = start
        while at < end:
            for series, (messages, counted) in held.get(at, {}).items():
                self._messages[series] += sign * messages
                self._counted[series] += sign * counted
                if not self._messages[series]:
                    del self._messages[series]
            at += MINUTE

    @property
    def counts(self) -> WindowCounts:
        if self._counts is None:
            sums = {series: (count, self._counted[series]) for series, count in self._messages.items()}
            self._counts = as_window(sums)
        return self._counts
