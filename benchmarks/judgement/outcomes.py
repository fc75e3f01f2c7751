"""Simulated outcomes by minute: messages without a delivery report in time, and slow ones."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.store.counts.messages.outcome_counts import OutcomeCounts

NIGHT = frozenset((22, 23, 0, 1, 2, 3, 4, 5, 6))
"""Hours in which twice as many phones are off."""
_KEPT = timedelta(days=2)


class SimulatedOutcomes:
    """The outcomes of the messages of each minute, whatever the limit of the measure: in time, or far too late."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"outcomes {seed}")
        self._minutes: dict[datetime, dict[SeriesKey, tuple[int, int, int]]] = {}
        self._hours: dict[datetime, dict[str, Counter[SeriesKey]]] = {}
        self._gaps: dict[tuple[SeriesKey, str, float], int] = {}

    def add(
        self,
        at: datetime,
        series: SeriesKey,
        messages: int,
        failed: int,
        unreported: Iterable[float],
        slow: Iterable[float],
    ) -> None:
        """Add the messages of a minute. `unreported`, `slow`: shares of which each takes its part of the rest."""
        night = 2.0 if at.hour in NIGHT else 1.0
        missing, late = 0, 0
        for share in unreported:
            missing += self._some(series, "missing", min(night * share, 1.0), messages - failed - missing)
        timed = messages - failed - missing
        for share in slow:
            late += self._some(series, "late", share, timed - late)
        minute = self._minutes.setdefault(at, {})
        held = minute.get(series, (0, 0, 0))
        minute[series] = (held[0] + messages, held[1] + missing, held[2] + late)
        hour = self._hours.setdefault(at.replace(minute=0), {})
        for name, count in (("messages", messages), ("missing", missing), ("timed", timed), ("late", late)):
            hour.setdefault(name, Counter())[series] += count

    def _some(self, series: SeriesKey, name: str, share: float, messages: int) -> int:
        """How many of these messages; the gaps between them are geometric."""
        if share <= 0 or messages <= 0:
            return 0
        if share >= 1:
            return messages
        key, count = (series, name, share), 0
        gap = self._gaps.get(key) or self._gap(share)
        while gap <= messages:
            messages -= gap
            count += 1
            gap = self._gap(share)
        self._gaps[key] = gap - messages
        return count

    def _gap(self, share: float) -> int:
        return int(math.log(1 - self._chance.random()) / math.log1p(-share)) + 1

    def between(
        self, measure: OutcomeMeasure, start: datetime, end: datetime
    ) -> dict[datetime, OutcomeCounts]:
        """The counts of each minute. Minutes of days before `start` are not asked for again."""
        for at in [at for at in self._minutes if at < start - _KEPT]:
            del self._minutes[at]
        found: dict[datetime, OutcomeCounts] = {}
        for at, minute in self._minutes.items():
            if start <= at < end:
                found[at] = {
                    series: (messages, missing)
                    if measure.kind == "undelivered"
                    else (messages - missing, late)
                    for series, (messages, missing, late) in minute.items()
                }
        return found

    def of_hours(self, measure: OutcomeMeasure, hours: Sequence[datetime]) -> OutcomeCounts:
        """The counts of these hours together."""
        names = ("messages", "missing") if measure.kind == "undelivered" else ("timed", "late")
        sums: tuple[Counter[SeriesKey], Counter[SeriesKey]] = Counter(), Counter()
        for hour in hours:
            for name, into in zip(names, sums, strict=True):
                into.update(self._hours.get(hour, {}).get(name, {}))
        return {series: (count, sums[1][series]) for series, count in sums[0].items()}
