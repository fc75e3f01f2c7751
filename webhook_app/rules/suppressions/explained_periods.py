"""When failures say nothing about a contact: a known alert, or the failure rate of their time, explains them.

Values in, values out; who counts the window and who stores what was explained is the caller's job.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.counts.failure_rate import Counts, measure
from webhook_app.rules.incidents.alerts import Rule, Transition, covers, decide
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.whatsapp.errors.catalogue import catalogue

BY_RATE = 0
"""Stands for an alert's id where there is no alert, only the failure rate."""


EXPLAINED_AT_MOST = timedelta(days=3)
"""For so long within EXPLAINED_WITHIN an alert of one slice explains failures. What lasts longer is no incident any
more but how things are, and people who are truly gone would never be suppressed. Provider outages last hours; a
template is paused for up to a day; a weekend nobody looks is covered."""
EXPLAINED_WITHIN = timedelta(days=14)


class FailedMessage(Protocol):
    """A failed message with the dimensions it is counted under."""

    @property
    def error_code(self) -> int: ...
    @property
    def occurred_at(self) -> datetime: ...


class ExplainedPeriod(Struct, frozen=True):
    """Failures with these codes in this slice and time are nobody's who received them. `end` None: goes on."""

    alert_id: int
    codes: frozenset[int]
    slice: dict[str, str]
    """Dimension of a series to the value it has; a dimension left out may have any."""
    start: datetime
    end: datetime | None
    noticed_at: datetime
    """When it became known: what was decided before could not take it into account."""

    def explains(self, failed: FailedMessage) -> bool:
        """Whether this failure belongs to the incident."""
        at = failed.occurred_at
        return (
            self.start <= at
            and (self.end is None or at <= self.end)
            and failed.error_code in self.codes
            and all(getattr(failed, name) == value for name, value in self.slice.items())
        )


def incident(
    alert_id: int,
    rule: Rule | None,
    group: Mapping[str, str | int],
    start: datetime,
    end: datetime | None,
    *,
    noticed_at: datetime,
    codes: Iterable[int] = (),
) -> ExplainedPeriod:
    """What an alert of this rule and group explains. `codes` stand in for a rule that no longer exists."""
    chosen = {"code": str(group["code"])} if "code" in group else {}
    explained = {
        code for code in explainable_codes() if (covers(rule, chosen, code, "") if rule else code in codes)
    }
    where = {name: str(value) for name, value in group.items() if name != "code"}
    return ExplainedPeriod(alert_id, frozenset(explained), where, start, end, noticed_at)


def bounded(
    incidents: Sequence[ExplainedPeriod], now: datetime
) -> tuple[list[ExplainedPeriod], list[ExplainedPeriod]]:
    """What these may explain, and what is left over: the times beyond EXPLAINED_AT_MOST, in which failures count.

    An incident that was open until a while ago leaves less to the next one of the same slice, so that flapping does
    not renew it.
    """
    explaining: list[ExplainedPeriod] = []
    worn_out: list[ExplainedPeriod] = []
    for found in sorted(incidents, key=lambda each: (each.start, each.alert_id)):
        spent = sum(
            (_spent(earlier, found.start) for earlier in explaining if _same_slice(earlier, found)),
            timedelta(),
        )
        last = found.start + max(EXPLAINED_AT_MOST - spent, timedelta())
        if last >= (found.end or now):
            explaining.append(found)
            continue
        if last > found.start:
            explaining.append(replace(found, end=last))
        worn_out.append(replace(found, start=last))
    return explaining, worn_out


def _same_slice(one: ExplainedPeriod, other: ExplainedPeriod) -> bool:
    return one.codes == other.codes and one.slice == other.slice


def _spent(earlier: ExplainedPeriod, start: datetime) -> timedelta:
    """How much of the time before `start` this one explained."""
    end = min(earlier.end or start, start)
    return max(end - max(earlier.start, start - EXPLAINED_WITHIN), timedelta())


def is_high(rule: Rule, counts: Counts) -> bool:
    """Whether the plain rate is above the threshold, be it by chance: reason to wait, not to excuse."""
    enough = counts.attempts >= rule.min_attempts and counts.failures >= rule.min_failures
    return enough and measure(counts.attempts, counts.failures).rate > rule.threshold


def would_alert(rule: Rule, counts: Counts) -> bool:
    """Whether an evaluation over such a window would begin an alert."""
    verdict = decide(rule, measure(counts.attempts, counts.failures), None)
    return verdict.transition in (Transition.PEND, Transition.FIRE)


@cache
def explainable_codes() -> frozenset[int]:
    """Codes that count against contacts, except that a person's own stop is never anybody else's trouble."""
    striking = {entry.code for entry in catalogue() if entry.contact_effect != "none"}
    return frozenset(striking - {STOPPED_MARKETING})
