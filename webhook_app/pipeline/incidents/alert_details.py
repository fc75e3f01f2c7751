"""The details of an alert: gathered from its window, stored with the alert, sent in notifications.

Reads through store. Whether a notification is sent is decided in announce.py.
"""

from datetime import datetime

from msgspec import Struct, convert
from msgspec.structs import replace

from webhook_app.channels.descriptions import describe_group
from webhook_app.channels.notification import CodeFacts, Figures, Notification, Reason, Slice
from webhook_app.pipeline.incidents.rate_groups import COUNTING, RuleGroup, counted_by
from webhook_app.pipeline.incidents.slices import SLICE_DIMENSIONS, leading_slice
from webhook_app.rules.counts.failure_rate import measure
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.counts import rates
from webhook_app.store.counts.impact import impact_of, sample_messages
from webhook_app.store.counts.rates import Filters
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

_MAX_CODES = 4


class CodeCount(Struct, frozen=True):
    """Distinct messages that failed with the code."""

    code: int
    failures: int


class AlertDetails(Struct, frozen=True, kw_only=True):
    """Stored as JSON in alerts.explanation: everything about an alert besides its figures."""

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
    """The previous alert of the same rule and group, as text."""
    others: int = 0
    """How many alerts with the same cause this one mutes."""
    other_groups: tuple[dict[str, str | int], ...] = ()


def codes_of(rule_group: RuleGroup) -> tuple[CodeCount, ...]:
    """The codes of the group's failures in the window, most failures first."""
    if rule_group.window is None or not rule_group.counts.failures:
        return ()
    own = rule_group.window.within(rule_group.group)
    by_code = own.failures_by(lambda mark: (mark.code,), counted_by(rule_group.rule)).most_common()
    return tuple(CodeCount(int(code), failures) for (code,), failures in by_code)


def gather(connection: Connection, rule_group: RuleGroup, alert: Alert, now: datetime) -> AlertDetails:
    """Read what the failures of the group in its window have in common, and the previous alert of the group."""
    previous = alerts.last_similar(connection, alert)
    last_time = _describe_previous(previous) if previous else ""
    codes = codes_of(rule_group)
    if rule_group.window is None or not codes:
        return AlertDetails(since=alert.covers_from, last_time=last_time)
    own, counted = rule_group.window.within(rule_group.group), counted_by(rule_group.rule)
    span = rates.window(now, rule_group.rule.window_minutes)
    numbers = [each.code for each in codes]
    within = convert({name: value for name, value in rule_group.group.items() if name != "code"}, Filters)
    impact = impact_of(connection, *span, numbers, within)
    top_slice = leading_slice(own, counted, rule_group.group)
    slice_filters = (
        {}
        if top_slice is None
        else {name: held for name in SLICE_DIMENSIONS if (held := getattr(top_slice, name)) is not None}
    )
    samples = sample_messages(connection, *span, numbers, replace(within, **slice_filters))
    return AlertDetails(
        since=impact.first_at or span[0],
        contacts=impact.contacts,
        codes=codes,
        slice=top_slice,
        samples=tuple(samples),
        last_time=last_time,
    )


def _describe_previous(previous: Alert) -> str:
    ended, began = previous.resolved_at or previous.evaluated_at, previous.fired_at or previous.started_at
    minutes = max(int((ended - began).total_seconds()) // 60, 1)
    return f"{began:%Y-%m-%d %H:%M} UTC, for {minutes} min (alert {previous.id})"


def stored_details(alert: Alert) -> AlertDetails:
    """The details stored with the alert."""
    return convert(alert.explanation, AlertDetails)


def merge(stored: AlertDetails, found: AlertDetails, *, is_firing_now: bool) -> AlertDetails:
    """The stored details updated with new ones. From an empty window only `last_time` is taken.

    The start is fixed when the alert fires: channels identify the alert by it.
    """
    if not found.codes:
        return replace(stored, last_time=found.last_time)
    return replace(
        stored,
        since=found.since if is_firing_now else stored.since,
        contacts=found.contacts,
        codes=found.codes,
        slice=found.slice,
        samples=found.samples,
        last_time=found.last_time,
    )


def notification(
    alert: Alert, explanation: AlertDetails, rule: Rule | None, reason: Reason, now: datetime, public_url: str
) -> Notification:
    """The complete content of a notification about this alert."""
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
        codes=tuple(_code_facts(count) for count in explanation.codes[:_MAX_CODES]),
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


def with_current_state(sent: Notification, alert: Alert, now: datetime) -> Notification:
    """A sent notification with the alert's current state. Severity and start stay as they were sent."""
    current = notification(alert, stored_details(alert), None, sent.reason, now, "")
    return replace(
        current,
        id=sent.id,
        severity=sent.severity,
        since=sent.since,
        codes=current.codes or sent.codes,
        runbook=sent.runbook,
        link=sent.link,
        actor=sent.actor,
        undelivered=sent.undelivered,
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


def _code_facts(count: CodeCount) -> CodeFacts:
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


def figures_of(alert: Alert, rule_group: RuleGroup) -> Alert:
    """The alert with the figures of this judgement."""
    rate = measure(rule_group.counts.attempts, rule_group.counts.failures)
    if not rule_group.counts.attempts and rule_group.rule.kind not in COUNTING:
        return alert
    return replace(
        alert, attempts=rate.attempts, failures=rate.failures, rate=rate.rate, low=rate.low, high=rate.high
    )
