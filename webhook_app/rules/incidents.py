"""When failures say nothing about a contact: a known alert, or the failure rate of their time, explains them.

Values in, values out; who counts the window and who stores what was explained is the caller's job.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Protocol

from msgspec import Struct

from webhook_app.rules.alerting import Rule, Transition, covers, decide
from webhook_app.rules.failure_rate import Counts, measure
from webhook_app.rules.suppression import STOPPED_MARKETING
from webhook_app.whatsapp.error_codes import catalogue

BY_RATE = 0
"""Stands for an alert's id where there is no alert, only the failure rate."""


class Failed(Protocol):
    """A failed message with the dimensions it is counted under."""

    @property
    def error_code(self) -> int: ...
    @property
    def occurred_at(self) -> datetime: ...


class Incident(Struct, frozen=True):
    """Failures with these codes in this slice and time are nobody's who received them. `end` None: goes on."""

    alert_id: int
    codes: frozenset[int]
    slice: dict[str, str]
    """Dimension of a series to the value it has; a dimension left out may have any."""
    start: datetime
    end: datetime | None
    noticed_at: datetime
    """When it became known: what was decided before could not take it into account."""

    def explains(self, failed: Failed) -> bool:
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
) -> Incident:
    """What an alert of this rule and group explains. `codes` stand in for a rule that no longer exists."""
    chosen = {"code": str(group["code"])} if "code" in group else {}
    explained = {
        code for code in explainable_codes() if (covers(rule, chosen, code, "") if rule else code in codes)
    }
    where = {name: str(value) for name, value in group.items() if name != "code"}
    return Incident(alert_id, frozenset(explained), where, start, end, noticed_at)


def is_high(rule: Rule, counts: Counts) -> bool:
    """Whether the plain rate is above the threshold, be it by chance: reason to wait, not to excuse."""
    enough = counts.attempts >= rule.min_attempts and counts.failures >= rule.min_failures
    return enough and measure(counts.attempts, counts.failures).rate > rule.threshold


def would_alert(rule: Rule, counts: Counts) -> bool:
    """Whether an evaluation over such a window would begin an alert."""
    verdict = decide(rule, measure(counts.attempts, counts.failures), None, _NO_TIME)
    return verdict.transition in (Transition.PEND, Transition.FIRE)


@cache
def explainable_codes() -> frozenset[int]:
    """Codes that count against contacts, except that a person's own stop is never anybody else's trouble."""
    striking = {entry.code for entry in catalogue() if entry.contact_effect != "none"}
    return frozenset(striking - {STOPPED_MARKETING})


_NO_TIME = datetime.min  # noqa: DTZ901 - without an open alert a decision does not ask for the time
