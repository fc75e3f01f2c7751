"""The details of an alert: taken from its judgement and stored with it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct, convert
from msgspec.structs import replace

from webhook_app.pipeline.incidents.groups.rule_group import RuleGroup, counted_by
from webhook_app.rules.counts.failure_rate import measure
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents.alerts import Alert

MOST_LISTED = 100
"""Codes, numbers or templates that an alert or incident keeps, most failures first, with the number of the others."""

Listed = TypeVar("Listed")


class CodeCount(Struct, frozen=True):
    """Distinct messages that failed with the code."""

    code: int
    failures: int


class AlertDetails(Struct, frozen=True, kw_only=True):
    """Stored as JSON in alerts.explanation: everything about an alert besides its figures."""

    since: datetime
    codes: tuple[CodeCount, ...] = ()
    more_codes: int = 0
    """Further codes of its last window."""
    peak_rate: float = 0.0
    reason: str = ""
    finding: str = ""
    details: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    measure_limit: int = 0
    """The minutes or seconds of the kinds undelivered and slow."""
    last_attempt_at: datetime | None = None
    last_failure_at: datetime | None = None
    """The last evaluations in whose window the group had messages, and failures."""


def codes_of(rule_group: RuleGroup) -> tuple[CodeCount, ...]:
    """The codes of the group's failures in the window, most failures first, then by code."""
    if rule_group.window is None or rule_group.rule.measure or not rule_group.counts.failures:
        return ()
    own = WindowCounts({}, rule_group.window.failed_within(rule_group.group))
    by_code = own.failures_by(lambda mark: (mark.code,), counted_by(rule_group.rule))
    found = [CodeCount(int(code), failures) for (code,), failures in by_code.items()]
    return tuple(sorted(found, key=lambda each: (-each.failures, each.code)))


def first_listed(values: Sequence[Listed]) -> tuple[tuple[Listed, ...], int]:
    """The first values, which an alert or incident keeps, and the number of the others."""
    return tuple(values[:MOST_LISTED]), max(len(values) - MOST_LISTED, 0)


def measure_of(alert: Alert) -> OutcomeMeasure | None:
    """What an alert of the kinds undelivered and slow counts; None for other kinds."""
    limit = stored_details(alert).measure_limit if alert.explanation else 0
    match alert.kind:
        case "undelivered" | "slow" as kind if limit:
            return OutcomeMeasure(kind, limit)
    return None


def stored_details(alert: Alert) -> AlertDetails:
    """The details stored with the alert."""
    return convert(alert.explanation, AlertDetails)


def figures_of(alert: Alert, rule_group: RuleGroup) -> Alert:
    """The alert with the figures of this judgement."""
    rate = measure(rule_group.counts.attempts, rule_group.counts.failures)
    if not rule_group.counts.attempts and rule_group.rule.kind not in COUNTING_KINDS:
        return alert
    return replace(
        alert, attempts=rate.attempts, failures=rate.failures, rate=rate.rate, low=rate.low, high=rate.high
    )
