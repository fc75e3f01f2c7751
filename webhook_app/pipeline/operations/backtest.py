"""Evaluates a rules file over stored data: which incidents there would have been, and which contacts been suppressed.

The code of the live evaluation judges every minute, with the counts known now, late events included. Alerts, incidents
and messages are kept in memory. Reads only. Rules of kinds that need more than stored counts and Meta's reports cannot
be judged; the report names them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from webhook_app.pipeline.incidents.details.examination import counted_from
from webhook_app.pipeline.incidents.details.incident_details import held_groups, stored
from webhook_app.pipeline.incidents.evaluate import find_all_groups, judge_groups
from webhook_app.pipeline.incidents.findings.finding_store import chronic_states
from webhook_app.pipeline.incidents.groups.rule_groups import REPLAYABLE
from webhook_app.pipeline.incidents.incident_updates import IncidentUpdates
from webhook_app.pipeline.incidents.past.memory_store import MemoryStore, SentMessage
from webhook_app.pipeline.operations.backtest_findings import BacktestFinding, PastFindings
from webhook_app.pipeline.operations.backtest_inputs import MINUTE, Past, PastInputs, StoredPast
from webhook_app.pipeline.operations.backtest_suppressions import BlockedContact, find_blocked_contacts
from webhook_app.rules.incidents.alerts import Transition
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import KNOWN_CHANNELS
from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, limit_duration
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import explained_periods
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Engine
from webhook_app.whatsapp.people.contacts import display

_LONGEST_PAUSE = timedelta(minutes=30)
"""Between two statements, while many rules are judged. The snapshot holds no lock."""

Progress = Callable[[float], None]
"""Called from time to time with the share that is done."""

_SHORT_MINUTES = 60  # the window by which an incident without one of its own is described


class BacktestAlert(Struct, frozen=True, kw_only=True):
    """The alert that one rule would have raised for one group."""

    rule: str
    group: dict[str, str | int]
    fired_at: datetime


class BacktestIncident(Struct, frozen=True, kw_only=True):
    """An incident that there would have been. `told_at` None: nobody would have been notified.

    `failures`, `contacts`: from its start to its end. `attempts`: in the window of its leading alert.
    """

    kind: str
    opened_at: datetime
    told_at: datetime | None
    ended_at: datetime | None
    ended_how: str
    severity: str
    title: str
    advice: str
    codes: list[int]
    slice: dict[str, list[str]] | None
    attempts: int
    failures: int
    contacts: int
    alerts: list[BacktestAlert]
    messages: list[SentMessage]

    def minutes(self, end: datetime) -> int:
        """How long it lasted, up to the end of the backtest."""
        return int(((self.ended_at or end) - self.opened_at) / MINUTE)


class BacktestReport(Struct, kw_only=True):
    """The result of a backtest."""

    start: datetime
    end: datetime
    evaluations: int
    incidents: list[BacktestIncident]
    findings: list[BacktestFinding]
    left_out: list[str]
    """The names of rules whose kind cannot be judged in the past."""
    blocked: list[BlockedContact]
    """The contacts that would have been suppressed; failures that these incidents explain do not count."""
    spared: int
    """How many more would have been suppressed without the incidents."""


class BacktestRun:
    """The rules, evaluated at one time after another."""

    def __init__(self, past: Past, rules: Sequence[Rule], start: datetime) -> None:
        self.store = MemoryStore()
        self.evaluations = 0
        self._rules = rules
        counting = [rule for rule in rules if rule.kind != "silence" and rule.measure is None]
        lengths = {minutes for rule in counting for minutes in (rule.windows or (rule.window_minutes,))}
        groupings = {tuple(name for name in rule.group_by if name != "code") for rule in counting}
        silences = {rule.window_minutes for rule in rules if rule.kind == "silence"}
        outcomes = {(rule.measure, minutes) for rule in rules if rule.measure for minutes in rule.windows}
        self._inputs = PastInputs(past, start, {*lengths, _SHORT_MINUTES}, groupings, silences, outcomes)
        self.findings = PastFindings(past, self._inputs, self.store, rules)

    def evaluate(self, now: datetime) -> None:
        """Evaluate all rules at this time, which is later than the last one."""
        self._inputs.go_to(now)
        self.findings.search()
        self._inputs.chronic = chronic_states(self.store.findings.open_findings(), now)
        known = self.store.open_alerts()
        found = find_all_groups(self._rules, self._inputs, known, self.store.attempt)
        lifecycle = judge_groups(self.store, found, known, now)
        IncidentUpdates(self._inputs, self.store, self._rules, "", KNOWN_CHANNELS).apply(lifecycle.changes)
        for change in lifecycle.changes:
            if change.transition is Transition.RESOLVE and change.alert.ended_how != "quiet":
                self._inputs.ends[change.alert.rule, change.alert.group_key] = now
            if change.transition is Transition.RESOLVE and change.alert.incident_id is not None:
                self._spend(change.alert.incident_id, now)
        self.evaluations += 1

    def _spend(self, incident_id: int, now: datetime) -> None:
        """What resolved alerts of an incident held does not count again."""
        incident = self.store.incidents[incident_id]
        resolved = [alert for alert in self.store.alerts_of([incident_id]) if alert.state == "resolved"]
        start = min([incident.began_at, *(alert.covers_from for alert in resolved)])
        self._inputs.spend(incident.codes, held_groups(incident, resolved), start, now)

    def found_incidents(self, end: datetime) -> list[BacktestIncident]:
        """Every incident so far, oldest first, with its failures and contacts counted from its start."""
        return [self._found(incident_id, end) for incident_id in sorted(self.store.incidents)]

    def explained(self, end: datetime) -> list[ExplainedPeriod]:
        """The periods in which the incidents explain failures."""
        found = [
            period
            for incident in self.store.incidents.values()
            for period in explained_periods.of_incident(incident, self.store.alerts_of([incident.id]))
            if period.is_shown
        ]
        return limit_duration(found, end)[0]

    def _found(self, incident_id: int, end: datetime) -> BacktestIncident:
        members = self.store.alerts_of([incident_id])
        incident = counted_from(self._inputs.failures, self.store.incidents[incident_id], members, end)
        messages = self.store.messages.get(incident_id, [])
        return BacktestIncident(
            kind=incident.kind,
            opened_at=stored(incident).first_opened_at or incident.opened_at,
            told_at=messages[0].at if messages else None,
            ended_at=incident.ended_at,
            ended_how=incident.ended_how,
            severity=incident.severity,
            title=incident.title,
            advice=incident.advice,
            codes=incident.codes,
            slice=incident.slice or None,
            attempts=incident.attempts,
            failures=incident.total_failures,
            contacts=incident.contacts,
            alerts=[
                BacktestAlert(rule=alert.rule, group=alert.group, fired_at=alert.fired_at)
                for alert in members
                if alert.fired_at is not None
            ],
            messages=messages,
        )


def backtest(
    engine: Engine,
    rules: Sequence[Rule],
    start: datetime,
    end: datetime,
    thresholds: Thresholds,
    *,
    step: timedelta = MINUTE,
    progress: Progress = lambda _: None,
) -> BacktestReport:
    """Evaluate the rules every `step` from `start` to `end`. The scheduler does so more often: every 15 s."""
    judged = [rule for rule in rules if rule.kind in REPLAYABLE]
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as connection:
        locks.limit_idle_transaction(connection, _LONGEST_PAUSE)
        run, now = BacktestRun(StoredPast(connection), judged, start), start
        while now <= end and judged:
            run.evaluate(now)
            progress(0.95 * ((now - start) / (end - start)) if end > start else 0.95)
            now += step
        incidents, explained = run.found_incidents(end), run.explained(end)
        blocked = find_blocked_contacts(connection, start, end, explained, thresholds)
        unspared = find_blocked_contacts(connection, start, end, None, thresholds)
    progress(1.0)
    return BacktestReport(
        start=start,
        end=end,
        evaluations=run.evaluations,
        incidents=incidents,
        findings=run.findings.found() if judged else [],
        left_out=[rule.name for rule in rules if rule.kind not in REPLAYABLE],
        blocked=blocked,
        spared=len(unspared) - len(blocked),
    )


def as_json(report: BacktestReport) -> dict[str, Any]:
    """The report in the form that programs read."""
    return {
        "incidents": report.incidents,
        "findings": report.findings,
        "suppressed": [
            {"contact": display(row.contact), "at": row.at, "reason": row.reason, "code": row.code}
            for row in report.blocked
        ],
    }
