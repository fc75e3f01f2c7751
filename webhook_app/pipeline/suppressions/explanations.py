"""The alerts and failure rates that explain failures in one run of suppress. Counts each window at most once."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, limit_duration
from webhook_app.store.counts import rates
from webhook_app.store.incidents import explained_periods
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.contact_failures import ContactFailure

LOOKBACK = timedelta(days=90)
"""How far back failures count and alerts explain them."""


class SortedFailures(Struct):
    """Failures to hold for an alert, to excuse, and to count."""

    hold: list[tuple[ContactFailure, int]]
    excuse: list[tuple[ContactFailure, int]]
    count: list[ContactFailure]
    past_periods: list[ExplainedPeriod]
    """Windows of the past with a high failure rate that explain some of them."""


class Explanations:
    """The alerts at the last `refresh`; the windows when they were first needed."""

    def __init__(self, rules: Sequence[Rule], now: datetime) -> None:
        self.now = now
        self.alerts: list[ExplainedPeriod] = []
        self._excess: list[ExplainedPeriod] = []
        self._rules = [rule for rule in rules if rule.kind == "rate"]
        self._live_from = {rule.name: rates.window(now, rule.window_minutes)[0] for rule in self._rules}
        self._present: list[ExplainedPeriod] | None = None
        self._past: dict[tuple[str, datetime], list[ExplainedPeriod]] = {}

    def refresh(self, connection: Connection) -> None:
        """Read the alerts again: they change between the transactions of a run."""
        found = explained_periods.of_alerts(connection, self._rules, self.now - LOOKBACK)
        self.alerts, self._excess = limit_duration(found, self.now)

    def alert_for(self, failure: ContactFailure) -> ExplainedPeriod | None:
        """The alert that explains the failure; a resolved one is preferred to an open one."""
        return _preferred(period for period in self.alerts if period.explains(failure))

    def present_for(self, connection: Connection, failure: ContactFailure) -> ExplainedPeriod | None:
        """The failure rate that is high now and explains the failure, if that is recent."""
        if self._is_normal(failure):
            return None
        if failure.occurred_at < min(self._live_from.values(), default=self.now):
            return None
        if self._present is None:
            self._present = explained_periods.high_now(connection, self._rules, self.now)
        return _preferred(period for period in self._present if period.explains(failure))

    def past_for(self, connection: Connection, failure: ContactFailure) -> ExplainedPeriod | None:
        """For a failure that arrived late: the window of its time that would have started an alert."""
        if self._is_normal(failure):
            return None
        late = [rule for rule in self._rules if failure.occurred_at < self._live_from[rule.name]]
        return _preferred(
            period
            for rule in late
            for period in self._around(connection, rule, failure.occurred_at)
            if period.explains(failure)
        )

    def sort(self, connection: Connection, failures: Iterable[ContactFailure]) -> SortedFailures:
        """Sort the failures into those to hold, to excuse for good, and to count."""
        found = SortedFailures([], [], [], [])
        for failure in failures:
            if alert := self.alert_for(failure):
                (found.hold if alert.end is None else found.excuse).append((failure, alert.alert_id))
            elif past := self.past_for(connection, failure):
                found.excuse.append((failure, past.alert_id))
                found.past_periods += [past] if past not in found.past_periods else []
            else:
                found.count.append(failure)
        return found

    def _is_normal(self, failure: ContactFailure) -> bool:
        """Whether an alert has lasted so long that its failure rate is the normal state."""
        return any(period.explains(failure) for period in self._excess)

    def _around(self, connection: Connection, rule: Rule, moment: datetime) -> list[ExplainedPeriod]:
        start = explained_periods.window_start(rule, moment)
        if (rule.name, start) not in self._past:
            self._past[rule.name, start] = explained_periods.in_window(connection, rule, start)
        return self._past[rule.name, start]


def _preferred(found: Iterable[ExplainedPeriod]) -> ExplainedPeriod | None:
    return min(found, key=lambda period: period.end is None, default=None)
