"""Evaluates a rules file over stored data: which alerts would have fired, and which contacts been suppressed.

The same pure rules judge every minute, with the counts known now, late events included. Reads only. Rules of kinds
that need more than stored counts cannot be judged; the report names them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.pipeline.incidents.alert_details import CodeCount, codes_of
from webhook_app.pipeline.incidents.rate_groups import OpenGroup, RuleGroup
from webhook_app.pipeline.incidents.rule_groups import REPLAYABLE, find_groups
from webhook_app.pipeline.operations.backtest_inputs import MINUTE, PastInputs
from webhook_app.pipeline.operations.backtest_suppressions import BlockedContact, find_blocked_contacts
from webhook_app.rules.incidents.alerts import AlertState, Rule, Transition, advance
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.muting import MUTES_AFTER_END, OpenAlert, find_mutes
from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, explained_by_alert
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.counts import rates
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Engine

_LONGEST_PAUSE = timedelta(
    minutes=30
)  # many rules are judged between two statements; the snapshot holds no lock

Progress = Callable[[float], None]
"""Called from time to time with the share that is done."""


class BacktestAlert(Struct, kw_only=True):
    """An alert that would have fired. `resolved_at` is None if it still fires at the end."""

    number: int
    rule: str
    kind: str
    severity: str
    group: dict[str, str | int]
    codes: tuple[CodeCount, ...]
    covers_from: datetime
    fired_at: datetime
    resolved_at: datetime | None = None
    told_at: datetime | None = None
    """The time of its first notification; None if another alert muted it."""
    spoken_for_by: int | None = None
    attempts: int
    failures: int
    peak_rate: float = 0.0
    why: str
    """The reason at the time it fired."""

    def minutes(self, end: datetime) -> int:
        return int(((self.resolved_at or end) - self.fired_at) / MINUTE)


class BacktestReport(Struct, kw_only=True):
    start: datetime
    end: datetime
    evaluations: int
    firings: list[BacktestAlert]
    left_out: list[str]
    """The names of rules whose kind cannot be judged in the past."""
    blocked: list[BlockedContact]
    """The contacts that would have been suppressed; failures explained by these alerts do not count."""
    spared: int
    """How many more would have been suppressed without the alerts."""


class _OpenBacktestAlert(Struct):
    """An open alert at the current time of the backtest."""

    group: dict[str, str | int]
    state: AlertState
    limit: float
    began_at: datetime
    firing: BacktestAlert | None = None


class _BacktestRun:
    """The open alerts at the current time of the backtest, and all that have fired."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.running: dict[tuple[str, str], _OpenBacktestAlert] = {}
        self.fired: list[BacktestAlert] = []

    def evaluate(self, rule: Rule, inputs: PastInputs) -> None:
        """Evaluate one rule at the current time."""
        opened = [
            OpenGroup(open_alert.group, open_alert.limit, open_alert.firing is not None)
            for (name, _), open_alert in self.running.items()
            if name == rule.name
        ]
        for rule_group in find_groups(rule, inputs, opened).groups:
            self._advance(rule_group)

    def _advance(self, rule_group: RuleGroup) -> None:
        rule, key = rule_group.rule, (rule_group.rule.name, rule_group.key)
        open_alert = self.running.get(key)
        verdict = advance(rule, rule_group.judgement, open_alert.state if open_alert else None)
        if verdict.transition in (Transition.CLEAR, Transition.RESOLVE) and open_alert is not None:
            if open_alert.firing is not None:
                open_alert.firing.resolved_at = self.now
            del self.running[key]
            return
        if open_alert is None:
            if verdict.transition is Transition.NONE:
                return
            open_alert = self.running[key] = _OpenBacktestAlert(
                rule_group.group, AlertState(state="pending"), rule_group.judgement.limit, self.now
            )
        if verdict.transition is Transition.FIRE:
            open_alert.firing = self._fire(rule_group, open_alert, verdict.reason)
        open_alert.state = AlertState(
            state="firing" if open_alert.firing else "pending",
            evaluations_above=verdict.evaluations_above,
            evaluations_below=verdict.evaluations_below,
        )
        if open_alert.firing is not None:
            _update_peak(open_alert.firing, rule_group)

    def _fire(self, rule_group: RuleGroup, open_alert: _OpenBacktestAlert, why: str) -> BacktestAlert:
        rule = rule_group.rule
        firing = BacktestAlert(
            number=len(self.fired) + 1,
            rule=rule.name,
            kind=rule.kind,
            severity=rule.severity,
            group=rule_group.group,
            codes=codes_of(rule_group),
            covers_from=rates.window(open_alert.began_at, rule.window_minutes)[0],
            fired_at=self.now,
            attempts=rule_group.counts.attempts,
            failures=rule_group.counts.failures,
            why=why,
        )
        self.fired.append(firing)
        return firing

    def mute(self) -> None:
        """Decide which firing alerts would be muted, and which notified now."""
        now = self.now
        recent = [f for f in self.fired if f.resolved_at is None or now - f.resolved_at < MUTES_AFTER_END]
        not_notified = [f for f in recent if f.resolved_at is None and f.told_at is None]
        if not not_notified:
            return
        mutes = find_mutes([_open_alert(firing) for firing in recent], now)
        for firing in not_notified:
            if (mute := mutes.get(firing.number)) is not None:
                firing.spoken_for_by = mute.by
            else:
                firing.told_at, firing.spoken_for_by = now, None


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
    run, judgements = _BacktestRun(start), 0
    with snapshot.connect() as connection:
        locks.limit_idle_transaction(connection, _LONGEST_PAUSE)
        inputs = PastInputs(connection, start, {rule.window_minutes for rule in judged})
        while run.now <= end and judged:
            inputs.go_to(run.now)
            for rule in judged:
                run.evaluate(rule, inputs)
            run.mute()
            judgements += 1
            progress(0.95 * ((run.now - start) / (end - start)) if end > start else 0.95)
            run.now += step
        incidents = [
            _explained_period(firing, judged) for firing in run.fired if firing.kind in ("rate", "spike")
        ]
        blocked = find_blocked_contacts(connection, start, end, incidents, thresholds)
        unspared = find_blocked_contacts(connection, start, end, [], thresholds) if incidents else blocked
    progress(1.0)
    return BacktestReport(
        start=start,
        end=end,
        evaluations=judgements,
        firings=run.fired,
        left_out=[rule.name for rule in rules if rule.kind not in REPLAYABLE],
        blocked=blocked,
        spared=len(unspared) - len(blocked),
    )


def _update_peak(firing: BacktestAlert, rule_group: RuleGroup) -> None:
    open_alert = rule_group.counts
    if open_alert.attempts >= rule_group.rule.min_attempts:
        firing.peak_rate = max(firing.peak_rate, min(open_alert.failures / open_alert.attempts, 1.0))
    if rule_group.judgement.escalates:
        firing.severity = max(firing.severity, rule_group.rule.escalate_to, key=rank)


def _open_alert(firing: BacktestAlert) -> OpenAlert:
    code = firing.group.get("code")
    return OpenAlert(
        id=firing.number,
        rule=firing.rule,
        kind=firing.kind,
        severity=firing.severity,
        group=firing.group,
        code=int(code) if code is not None else next((each.code for each in firing.codes), None),
        fired_at=firing.fired_at,
        resolved_at=firing.resolved_at,
        notified=firing.told_at is not None,
        failures=firing.failures,
    )


def _explained_period(firing: BacktestAlert, rules: Sequence[Rule]) -> ExplainedPeriod:
    rule = next(each for each in rules if each.name == firing.rule)
    return explained_by_alert(
        firing.number, rule, firing.group, firing.covers_from, firing.resolved_at, noticed_at=firing.fired_at
    )
