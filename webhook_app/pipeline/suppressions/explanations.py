"""What explains failures during one run of pipeline/suppressions/suppress. Counts are read at most once per window."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, bounded
from webhook_app.store.counts import rates
from webhook_app.store.incidents import explained_periods
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.contact_failures import ContactFailure

LOOKBACK = timedelta(days=90)
"""How far back failures count, and alerts explain them."""


class SortedFailures(Struct):
    """Failures by what is to become of them."""

    hold: list[tuple[ContactFailure, int]]
    excuse: list[tuple[ContactFailure, int]]
    count: list[ContactFailure]
    found: list[ExplainedPeriod]
    """Bad windows of the past that some of them showed."""


class Explanations:
    """Alerts as of the last `refresh`; windows as of the first question about them."""

    def __init__(self, rules: Sequence[Rule], now: datetime) -> None:
        self.now = now
        self.alerts: list[ExplainedPeriod] = []
        self._worn_out: list[ExplainedPeriod] = []
        self._rules = [rule for rule in rules if rule.kind == "rate"]
        self._live_from = {rule.name: rates.window(now, rule.window_minutes)[0] for rule in self._rules}
        self._present: list[ExplainedPeriod] | None = None
        self._past: dict[tuple[str, datetime], list[ExplainedPeriod]] = {}

    def refresh(self, connection: Connection) -> None:
        """Read the alerts again: they come and go between the transactions of a run."""
        found = explained_periods.of_alerts(connection, self._rules, self.now - LOOKBACK)
        self.alerts, self._worn_out = bounded(found, self.now)

    def alert_for(self, strike: ContactFailure) -> ExplainedPeriod | None:
        """The alert that explains it; one that is over before one that is not."""
        return _best(incident for incident in self.alerts if incident.explains(strike))

    def present_for(self, connection: Connection, strike: ContactFailure) -> ExplainedPeriod | None:
        """A failure rate that is high right now and covers it, if it is recent."""
        if self._is_normal(strike):
            return None
        if strike.occurred_at < min(self._live_from.values(), default=self.now):
            return None
        if self._present is None:
            self._present = explained_periods.at_present(connection, self._rules, self.now)
        return _best(incident for incident in self._present if incident.explains(strike))

    def past_for(self, connection: Connection, strike: ContactFailure) -> ExplainedPeriod | None:
        """A window of its own time that would have begun an alert, had we known then: it arrived late."""
        if self._is_normal(strike):
            return None
        late = [rule for rule in self._rules if strike.occurred_at < self._live_from[rule.name]]
        return _best(
            incident
            for rule in late
            for incident in self._around(connection, rule, strike.occurred_at)
            if incident.explains(strike)
        )

    def sort(self, connection: Connection, strikes: Iterable[ContactFailure]) -> SortedFailures:
        """Which of these wait for an alert, which are excused for good, and which count."""
        done = SortedFailures([], [], [], [])
        for strike in strikes:
            if alert := self.alert_for(strike):
                (done.hold if alert.end is None else done.excuse).append((strike, alert.alert_id))
            elif past := self.past_for(connection, strike):
                done.excuse.append((strike, past.alert_id))
                done.found += [past] if past not in done.found else []
            else:
                done.count.append(strike)
        return done

    def _is_normal(self, strike: ContactFailure) -> bool:
        """Whether an alert has lasted so long that its failure rate says nothing any more."""
        return any(incident.explains(strike) for incident in self._worn_out)

    def _around(self, connection: Connection, rule: Rule, moment: datetime) -> list[ExplainedPeriod]:
        start = explained_periods.window_of(rule, moment)
        if (rule.name, start) not in self._past:
            self._past[rule.name, start] = explained_periods.around(connection, rule, start)
        return self._past[rule.name, start]


def _best(found: Iterable[ExplainedPeriod]) -> ExplainedPeriod | None:
    return min(found, key=lambda incident: incident.end is None, default=None)
