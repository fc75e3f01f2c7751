"""What is known of an alert's incident: gathered from the window, kept with the alert, told to channels.

Reads through store only; whether anything is to be told is decided elsewhere.
"""

from datetime import datetime
from itertools import combinations

from msgspec import Struct, convert
from msgspec.structs import replace
from sqlalchemy import Connection

from webhook_app.channels.notification import CodeFacts, Figures, Notification, Reason, Slice
from webhook_app.pipeline.rule_cases import counted_by
from webhook_app.rules.alerting import Rule
from webhook_app.rules.failure_rate import measure
from webhook_app.store.affected import affected, sample_messages
from webhook_app.store.alerts import Alert
from webhook_app.store.counts import Filters
from webhook_app.store.window_counts import Counted, WindowCounts
from webhook_app.whatsapp.error_codes import explain, retry_advice

_CODES_TOLD = 4
_SLICED = ("phone_number_id", "template", "country")
_MOST = 0.5  # a slice with fewer of the failures does not say where they come from


class CodeCount(Struct, frozen=True):
    """Distinct messages that failed with the code."""

    code: int
    failures: int


class Explanation(Struct, frozen=True, kw_only=True):
    """Kept as JSON in alerts.explanation: what the figures alone do not tell."""

    since: datetime
    contacts: int = 0
    codes: tuple[CodeCount, ...] = ()
    slice: Slice | None = None
    samples: tuple[str, ...] = ()
    peak_rate: float = 0.0
    reason: str = ""


def examine(
    connection: Connection,
    rule: Rule,
    group: dict[str, str | int],
    counts: WindowCounts,
    span: tuple[datetime, datetime],
) -> Explanation:
    """What the failures of this group in the window from span[0] to span[1] have in common."""
    own = counts.within(group)
    counted = counted_by(rule)
    by_code = own.failures_by(lambda mark: (mark.code,), counted).most_common()
    codes = tuple(CodeCount(int(code), failures) for (code,), failures in by_code)
    numbers = [count.code for count in codes]
    within = convert({name: value for name, value in group.items() if name != "code"}, Filters)
    hit = affected(connection, *span, numbers, within)
    leading = _leading_slice(own, counted, group)
    narrow = (
        {}
        if leading is None
        else {name: held for name in _SLICED if (held := getattr(leading, name)) is not None}
    )
    samples = sample_messages(connection, *span, numbers, replace(within, **narrow))
    return Explanation(
        since=hit.first_at or span[0],
        contacts=hit.contacts,
        codes=codes,
        slice=leading,
        samples=tuple(samples),
    )


def recall(alert: Alert) -> Explanation:
    """What was kept with the alert."""
    return convert(alert.explanation, Explanation)


def renew(kept: Explanation, found: Explanation) -> Explanation:
    """The latest findings, with what only the whole incident knows. An empty window tells nothing new."""
    if not found.codes:
        return kept
    return replace(found, since=kept.since, peak_rate=kept.peak_rate)


def notification(
    alert: Alert, explanation: Explanation, rule: Rule | None, reason: Reason, now: datetime, public_url: str
) -> Notification:
    """Everything a channel needs to tell people about this alert."""
    figures = Figures(**{name: getattr(alert, name) for name in Figures.__struct_fields__})
    return Notification(
        alert_id=alert.id,
        reason=reason,
        at=now,
        rule=alert.rule,
        severity=alert.severity,
        group=alert.group,
        codes=tuple(_facts(count) for count in explanation.codes[:_CODES_TOLD]),
        figures=figures,
        peak_rate=explanation.peak_rate,
        contacts=explanation.contacts,
        since=explanation.since,
        resolved_at=alert.resolved_at,
        slice=explanation.slice,
        samples=explanation.samples,
        why=explanation.reason,
        runbook=rule.runbook if rule else "",
        link=f"{public_url.rstrip('/')}/alerts/{alert.id}" if public_url else "",
    )


def _leading_slice(own: WindowCounts, counted: Counted, group: dict[str, str | int]) -> Slice | None:
    """The narrowest part that most of the failures belong to; None when they are spread, or the group says it all."""
    total = own.failures(counted)
    free = [name for name in _SLICED if name not in group]
    for size in range(len(free), 0, -1):
        tops = [_top(own, counted, names) for names in combinations(free, size)]
        found, failures = max(tops, key=lambda top: top[1])
        if total and failures / total >= _MOST:
            return convert({**found, "failures": failures, "share": failures / total}, Slice)
    return None


def _top(own: WindowCounts, counted: Counted, names: tuple[str, ...]) -> tuple[dict[str, str], int]:
    """The values of these dimensions with the most failures, and how many."""
    found = own.failures_by(lambda mark: tuple(getattr(mark.series, name) for name in names), counted)
    values, failures = max(found.items(), key=lambda item: (item[1], item[0]), default=((), 0))
    return dict(zip(names, map(str, values), strict=False)), failures


def _facts(count: CodeCount) -> CodeFacts:
    entry = explain(count.code)
    return CodeFacts(
        code=count.code,
        title=entry.title,
        meaning=entry.summary,
        failure_class=entry.failure_class,
        action=entry.action,
        advice=retry_advice(entry).words,
        mistaken_for=entry.mistaken_for,
        failures=count.failures,
    )


def figures_of(alert: Alert, attempts: int, failures: int) -> Alert:
    """The alert with the figures of this evaluation."""
    rate = measure(attempts, failures)
    return replace(
        alert, attempts=rate.attempts, failures=rate.failures, rate=rate.rate, low=rate.low, high=rate.high
    )
