"""Incidents as stored: those that alerts tell of, and those that the counts of a window show. Decides nothing."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from webhook_app.rules.alerting import Rule, selects
from webhook_app.rules.failure_rate import Counts
from webhook_app.rules.incidents import BY_RATE, Incident, incident, is_high, would_alert
from webhook_app.store import alerts, counts
from webhook_app.store.alerts import Alert
from webhook_app.whatsapp.error_codes import explain

ABOUT_FAILURES = ("rate", "spike")
"""Kinds of alerts that explain failures."""


def of_alerts(connection: Connection, rules: Sequence[Rule], since: datetime) -> list[Incident]:
    """What alerts about failures explain that are open, or fired and ended after `since`."""
    by_name = {rule.name: rule for rule in rules}
    return [
        of_alert(alert, by_name.get(alert.rule))
        for alert in alerts.explaining(connection, since)
        if alert.kind in ABOUT_FAILURES and (alert.state != "resolved" or alert.fired_at is not None)
    ]


def of_alert(alert: Alert, rule: Rule | None = None) -> Incident:
    """What the alert explains, from start to end; its own codes stand in for a rule that is not known."""
    return incident(
        alert.id,
        rule,
        alert.group,
        alert.covers_from,
        alert.resolved_at,
        noticed_at=alert.started_at,
        codes=alert.codes,
    )


def at_present(connection: Connection, rules: Sequence[Rule], now: datetime) -> list[Incident]:
    """Slices whose plain failure rate is above a rule's threshold now, whether an alert has begun or not."""
    return [
        found
        for rule in rules
        for found in _above(connection, rule, counts.window(now, rule.window_minutes), is_high)
    ]


def around(connection: Connection, rule: Rule, start: datetime) -> list[Incident]:
    """Slices that would have begun an alert in the window from `start` on."""
    end = start + timedelta(minutes=rule.window_minutes)
    return _above(connection, rule, (start, end), would_alert)


def window_of(rule: Rule, moment: datetime) -> datetime:
    """The start of the one window the moment falls into when windows of this rule follow each other."""
    seconds = rule.window_minutes * 60
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def _above(
    connection: Connection,
    rule: Rule,
    span: tuple[datetime, datetime],
    judged: Callable[[Rule, Counts], bool],
) -> list[Incident]:
    start, end = span
    last = end - timedelta(microseconds=1)
    groups = counts.read_window(connection, start, end).by_group(
        rule.group_by, lambda code: selects(rule, explain(code), code)
    )
    return [
        incident(BY_RATE, rule, dict(zip(rule.group_by, key, strict=True)), start, last, noticed_at=start)
        for key, count in groups.items()
        if judged(rule, count)
    ]
