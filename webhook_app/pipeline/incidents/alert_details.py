"""What is known of an alert's incident: gathered from the window, kept with the alert, told to channels.

Reads through store only; whether anything is to be told is decided elsewhere.
"""

from datetime import datetime

from msgspec import Struct, convert
from msgspec.structs import replace

from webhook_app.channels.notification import CodeFacts, Figures, Notification, Reason, Slice
from webhook_app.channels.spelling import describe_group
from webhook_app.pipeline.incidents.rate_groups import COUNTING, RuleGroup, counted_by
from webhook_app.pipeline.incidents.slices import SLICED, leading_slice
from webhook_app.rules.counts.failure_rate import measure
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.counts import rates
from webhook_app.store.counts.impact import affected, sample_messages
from webhook_app.store.counts.rates import Filters
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

_CODES_TOLD = 4


class CodeCount(Struct, frozen=True):
    """Distinct messages that failed with the code."""

    code: int
    failures: int


class AlertDetails(Struct, frozen=True, kw_only=True):
    """Kept as JSON in alerts.explanation: what the figures alone do not tell."""

    since: datetime
    contacts: int = 0
    codes: tuple[CodeCount, ...] = ()
    slice: Slice | None = None
    samples: tuple[str, ...] = ()
    peak_rate: float = 0.0
    reason: str = ""
    finding: str = ""
    details: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    last_time: str = ""
    """The alert of the same rule and group before this one, in words."""
    others: int = 0
    """Alerts on the same cause that this one speaks for."""
    other_groups: tuple[dict[str, str | int], ...] = ()


def codes_of(case: RuleGroup) -> tuple[CodeCount, ...]:
    """The codes under which messages of the group failed in the window, most failures first."""
    if case.window is None or not case.counts.failures:
        return ()
    own = case.window.within(case.group)
    by_code = own.failures_by(lambda mark: (mark.code,), counted_by(case.rule)).most_common()
    return tuple(CodeCount(int(code), failures) for (code,), failures in by_code)


def examine(connection: Connection, case: RuleGroup, alert: Alert, now: datetime) -> AlertDetails:
    """What the failures of the group in its window have in common, and when it was so before."""
    before = alerts.last_similar(connection, alert)
    last_time = _last_time(before) if before else ""
    codes = codes_of(case)
    if case.window is None or not codes:
        return AlertDetails(since=alert.covers_from, last_time=last_time)
    own, counted = case.window.within(case.group), counted_by(case.rule)
    span = rates.window(now, case.rule.window_minutes)
    numbers = [each.code for each in codes]
    within = convert({name: value for name, value in case.group.items() if name != "code"}, Filters)
    hit = affected(connection, *span, numbers, within)
    leading = leading_slice(own, counted, case.group)
    narrow = (
        {}
        if leading is None
        else {name: held for name in SLICED if (held := getattr(leading, name)) is not None}
    )
    samples = sample_messages(connection, *span, numbers, replace(within, **narrow))
    return AlertDetails(
        since=hit.first_at or span[0],
        contacts=hit.contacts,
        codes=codes,
        slice=leading,
        samples=tuple(samples),
        last_time=last_time,
    )


def _last_time(before: Alert) -> str:
    ended, began = before.resolved_at or before.evaluated_at, before.fired_at or before.started_at
    minutes = max(int((ended - began).total_seconds()) // 60, 1)
    return f"{began:%Y-%m-%d %H:%M} UTC, for {minutes} min (alert {before.id})"


def recall(alert: Alert) -> AlertDetails:
    """What was kept with the alert."""
    return convert(alert.explanation, AlertDetails)


def renew(kept: AlertDetails, found: AlertDetails) -> AlertDetails:
    """What was kept with the latest findings. An empty window tells nothing new but what was before."""
    if not found.codes:
        return replace(kept, last_time=found.last_time)
    known = min(kept.since, found.since) if kept.samples else found.since
    return replace(
        kept,
        since=known,
        contacts=found.contacts,
        codes=found.codes,
        slice=found.slice,
        samples=found.samples,
        last_time=found.last_time,
    )


def notification(
    alert: Alert, explanation: AlertDetails, rule: Rule | None, reason: Reason, now: datetime, public_url: str
) -> Notification:
    """Everything a channel needs to tell people about this alert."""
    figures = Figures(**{name: getattr(alert, name) for name in Figures.__struct_fields__})
    counting = alert.kind in COUNTING
    return Notification(
        alert_id=alert.id,
        reason=reason,
        at=now,
        rule=alert.rule,
        kind=alert.kind,
        severity=alert.severity,
        group=alert.group,
        codes=tuple(_facts(count) for count in explanation.codes[:_CODES_TOLD]),
        figures=figures if counting else None,
        finding=explanation.finding,
        details=_details(explanation),
        advice=explanation.advice,
        peak_rate=explanation.peak_rate,
        contacts=explanation.contacts,
        since=explanation.since,
        resolved_at=alert.resolved_at,
        slice=explanation.slice,
        samples=explanation.samples,
        why=explanation.reason,
        runbook=rule.runbook if rule else "",
        link=f"{public_url.rstrip('/')}/alerts/{alert.id}" if public_url else "",
        acknowledged_by=alert.acknowledged_by,
        acknowledged_at=alert.acknowledged_at,
        snoozed_until=alert.snoozed_until,
    )


def _details(explanation: AlertDetails) -> tuple[tuple[str, str], ...]:
    details = list(explanation.details)
    if explanation.others:
        named = list(dict.fromkeys(filter(None, map(describe_group, explanation.other_groups))))
        more = explanation.others - len(explanation.other_groups)
        details.append(("Same cause", "; ".join([*named, f"{more} more"] if more > 0 else named)))
    if explanation.last_time:
        details.append(("Last time", explanation.last_time))
    return tuple(details)


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


def figures_of(alert: Alert, case: RuleGroup) -> Alert:
    """The alert with the figures of this look."""
    rate = measure(case.counts.attempts, case.counts.failures)
    if not case.counts.attempts and case.rule.kind not in COUNTING:
        return alert
    return replace(
        alert, attempts=rate.attempts, failures=rate.failures, rate=rate.rate, low=rate.low, high=rate.high
    )
