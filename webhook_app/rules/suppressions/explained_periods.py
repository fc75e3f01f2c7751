"""Periods in which failures do not count against contacts, because an incident or a high failure rate explains them.

Pure: the caller counts the windows and stores what was explained.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.counts.failure_rate import Counts, measure
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.rates import judge_rate, limit_of
from webhook_app.rules.incidents.rules_file.rule import Rule, covers
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.whatsapp.errors.catalogue import catalogue

BY_RATE = 0
"""In place of an incident's id: the failure rate of the time explains the failure, without an incident."""
REPORT_UNDONE = -1
"""In place of an incident's id: an operator has undone what a key reported."""
INCIDENT_UNDONE = -2
"""In place of an incident's id: an operator has undone what failures in an incident led to. They never count again,
while those that an incident excuses do after several incidents (see repeated_incidents)."""

EXPLAINED_AT_MOST = timedelta(days=3)
"""The longest time within EXPLAINED_WITHIN that incidents explain failures with one code in one slice. A longer one is
the normal state and would keep unreachable people from ever being suppressed. Provider outages last hours, a template
is paused for up to a day, and three days cover an unattended weekend."""
EXPLAINED_WITHIN = timedelta(days=14)

LONGEST_WINDOW_MINUTES = 1_440
"""Longer windows of a rule explain no failures: what has lasted for more than a day is found by its incident."""


class FailedMessage(Protocol):
    """A failed message with the dimensions it is counted under."""

    @property
    def error_code(self) -> int: ...
    @property
    def occurred_at(self) -> datetime: ...


class ExplainedPeriod(Struct, frozen=True):
    """Failures with these codes in this slice and time do not count against contacts. `end` None: still open."""

    by: int
    """The incident, or BY_RATE."""
    codes: frozenset[int]
    slice: dict[str, str]
    """Value by dimension of the series; a missing dimension matches any value."""
    start: datetime
    end: datetime | None
    noticed_at: datetime
    """When it became known; earlier decisions could not consider it."""
    is_shown: bool = True
    """Whether webhooks alone show it. What only senders report may be made up: it explains only failures that a key
    reported which says so by itself."""

    def explains(self, failed: FailedMessage) -> bool:
        """Whether this failure lies in the period."""
        at = failed.occurred_at
        return (
            self.start <= at
            and (self.end is None or at <= self.end)
            and failed.error_code in self.codes
            and all(getattr(failed, name) == value for name, value in self.slice.items())
        )


class Periods:
    """Periods sorted by their slices, so that those of one failure are found at once among thousands."""

    def __init__(self, periods: Iterable[ExplainedPeriod] = ()) -> None:
        self._sorted: dict[tuple[str, ...], dict[tuple[str, ...], list[tuple[int, ExplainedPeriod]]]] = {}
        for place, period in enumerate(periods):
            names = tuple(sorted(period.slice))
            values = tuple(period.slice[name] for name in names)
            self._sorted.setdefault(names, {}).setdefault(values, []).append((place, period))

    def explaining(self, failure: FailedMessage) -> list[ExplainedPeriod]:
        """Those that explain the failure, in the order in which they were given."""
        found = [
            each
            for names, by_values in self._sorted.items()
            for each in by_values.get(tuple(getattr(failure, name) for name in names), ())
            if each[1].explains(failure)
        ]
        return [period for _, period in sorted(found, key=itemgetter(0))]


def explained_by_incident(
    incident_id: int,
    codes: Iterable[int],
    groups: Iterable[Mapping[str, str | int]],
    start: datetime,
    end: datetime | None,
    *,
    noticed_at: datetime,
    is_shown: bool = True,
) -> list[ExplainedPeriod]:
    """The periods that an incident explains, one for each of its codes and holding groups."""
    return [
        ExplainedPeriod(incident_id, frozenset((code,)), _slice(group), start, end, noticed_at, is_shown)
        for code in dict.fromkeys(codes)
        if code in explainable_codes()
        for group in groups
        if str(group.get("code", code)) == str(code)
    ]


def explained_by_rate(
    rule: Rule,
    group: Mapping[str, str | int],
    start: datetime,
    end: datetime | None,
    *,
    noticed_at: datetime,
) -> ExplainedPeriod:
    """The period in which this group's failure rate was above the rule's threshold."""
    chosen = {"code": str(group["code"])} if "code" in group else {}
    codes = frozenset(code for code in explainable_codes() if covers(rule, chosen, code, ""))
    return ExplainedPeriod(BY_RATE, codes, _slice(group), start, end, noticed_at)


def _slice(group: Mapping[str, str | int]) -> dict[str, str]:
    return {name: str(value) for name, value in group.items() if name != "code"}


def limit_duration(
    periods: Sequence[ExplainedPeriod], now: datetime
) -> tuple[list[ExplainedPeriod], list[ExplainedPeriod]]:
    """The periods cut to EXPLAINED_AT_MOST, and the rest of each, in which failures count.

    Earlier periods of the same slice use up the time of later ones, so that a flapping incident does not renew it.
    """
    explaining: list[ExplainedPeriod] = []
    excess: list[ExplainedPeriod] = []
    by_slice: defaultdict[object, list[ExplainedPeriod]] = defaultdict(list)
    for found in sorted(periods, key=lambda each: (each.start, each.by)):
        same = by_slice[found.codes, frozenset(found.slice.items())]
        used = sum((_used_before(earlier, found.start) for earlier in same), timedelta())
        last = found.start + max(EXPLAINED_AT_MOST - used, timedelta())
        if last > found.start or last >= (found.end or now):
            kept = found if last >= (found.end or now) else replace(found, end=last)
            explaining.append(kept)
            same.append(kept)
        if last < (found.end or now):
            excess.append(replace(found, start=last))
    return explaining, excess


def _used_before(earlier: ExplainedPeriod, start: datetime) -> timedelta:
    """How much time before `start` this period explained."""
    end = min(earlier.end or start, start)
    return max(end - max(earlier.start, start - EXPLAINED_WITHIN), timedelta())


def is_rate_high(rule: Rule, counts: Counts, usual: float = 0.0) -> bool:
    """Whether the plain rate is above the limit, even by chance: a reason to hold failures, not to excuse them.

    `usual`: the share of the group in the week before, or 0.
    """
    enough = counts.attempts >= rule.min_attempts and counts.failures >= rule.min_failures
    return enough and measure(counts.attempts, counts.failures).rate > limit_of(rule, usual)


def would_alert(rule: Rule, counts: Counts, usual: float = 0.0) -> bool:
    """Whether an evaluation of this window would start an alert."""
    return judge_rate(rule, measure(counts.attempts, counts.failures), usual).reading is Reading.ABOVE


@cache
def explainable_codes() -> frozenset[int]:
    """Codes that count against contacts and that an incident can explain; a person's own opt-out is never explained."""
    counting = {entry.code for entry in catalogue() if entry.contact_effect != "none"}
    return frozenset(counting - {STOPPED_MARKETING})
