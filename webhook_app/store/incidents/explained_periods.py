"""Incidents as stored: those that alerts tell of, and those that the counts of a window show. Decides nothing."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Rule, selects
from webhook_app.rules.suppressions.explained_periods import (
    BY_RATE,
    ExplainedPeriod,
    incident,
    is_high,
    would_alert,
)
from webhook_app.store.counts import rates
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain

ABOUT_FAILURES = ("rate", "spike")
"""Kinds of alerts that explain failures."""


def of_alerts(connection: Connection, rules: Sequence[Rule], since: datetime) -> list[ExplainedPeriod]:
    """What alerts about failures explain that are open, or fired and ended after `since`."""
    by_name = {rule.name: rule for rule in rules}
    return [
        of_alert(alert, by_name.get(alert.rule))
        for alert in alerts.explaining(connection, since)
        if alert.kind in ABOUT_FAILURES and (alert.state != "resolved" or alert.fired_at is not None)
    ]


def of_alert(alert: Alert, rule: Rule | None = None) -> ExplainedPeriod:
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


def at_present(connection: Connection, rules: Sequence[Rule], now: datetime) -> list[ExplainedPeriod]:
    """Slices whose plain failure rate is above a rule's threshold now, whether an alert has begun or not."""
    return [
        found
        for rule in rules
        for found in _above(connection, rule, rates.window(now, rule.window_minutes), is_high)
    ]


def around(connection: Connection, rule: Rule, start: datetime) -> list[ExplainedPeriod]:
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
) -> list[ExplainedPeriod]:
    start, end = span
    last = end - timedelta(microseconds=1)
    groups = rates.read_window(connection, start, end).by_group(
        rule.group_by, lambda code: selects(rule, explain(code), code)
    )
    return [
        incident(BY_RATE, rule, dict(zip(rule.group_by, key, strict=True)), start, last, noticed_at=start)
        for key, count in groups.items()
        if judged(rule, count)
    ]
