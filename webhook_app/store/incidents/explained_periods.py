"""Periods that explain failures: those of alerts, and windows whose counts show a high failure rate."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Rule, selects
from webhook_app.rules.suppressions.explained_periods import (
    BY_RATE,
    ExplainedPeriod,
    explained_by_alert,
    is_rate_high,
    would_alert,
)
from webhook_app.store.counts import rates
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain

ABOUT_FAILURES = ("rate", "spike")
"""The kinds of alerts that explain failures."""


def of_alerts(connection: Connection, rules: Sequence[Rule], since: datetime) -> list[ExplainedPeriod]:
    """The periods of alerts about failures that are open, or fired and were resolved after `since`."""
    by_name = {rule.name: rule for rule in rules}
    return [
        of_alert(alert, by_name.get(alert.rule))
        for alert in alerts.explaining(connection, since)
        if alert.kind in ABOUT_FAILURES and (alert.state != "resolved" or alert.fired_at is not None)
    ]


def of_alert(alert: Alert, rule: Rule | None = None) -> ExplainedPeriod:
    """The period that the alert explains; without its rule, the alert's own codes are used."""
    return explained_by_alert(
        alert.id,
        rule,
        alert.group,
        alert.covers_from,
        alert.resolved_at,
        noticed_at=alert.started_at,
        codes=alert.codes,
    )


def high_now(connection: Connection, rules: Sequence[Rule], now: datetime) -> list[ExplainedPeriod]:
    """Slices whose failure rate is above a rule's threshold now, whether an alert exists or not."""
    return [
        found
        for rule in rules
        for found in _slices(connection, rule, rates.window(now, rule.window_minutes), is_rate_high)
    ]


def in_window(connection: Connection, rule: Rule, start: datetime) -> list[ExplainedPeriod]:
    """Slices that would have started an alert in the window that starts at `start`."""
    end = start + timedelta(minutes=rule.window_minutes)
    return _slices(connection, rule, (start, end), would_alert)


def window_start(rule: Rule, moment: datetime) -> datetime:
    """The start of the window that holds the moment, when windows of this rule follow each other."""
    seconds = rule.window_minutes * 60
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def _slices(
    connection: Connection,
    rule: Rule,
    span: tuple[datetime, datetime],
    is_above: Callable[[Rule, Counts], bool],
) -> list[ExplainedPeriod]:
    start, end = span
    last = end - timedelta(microseconds=1)
    groups = rates.read_window(connection, start, end).by_group(
        rule.group_by, lambda code: selects(rule, explain(code), code)
    )
    return [
        explained_by_alert(
            BY_RATE, rule, dict(zip(rule.group_by, key, strict=True)), start, last, noticed_at=start
        )
        for key, count in groups.items()
        if is_above(rule, count)
    ]
