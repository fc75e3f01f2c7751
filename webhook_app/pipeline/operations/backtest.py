"""A rules file over the stored past: what would have fired, when, how long, on what evidence, whom it would suppress.

The same pure rules judge every minute, with the counts that are known by now: what came late is in them. Reads only.
Kinds that look at more than counts have no past to be judged by; their rules are named as left out.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.pipeline.incidents.alert_details import CodeCount, codes_of
from webhook_app.pipeline.incidents.rate_groups import Open, RuleGroup
from webhook_app.pipeline.incidents.rule_groups import REPLAYABLE, cases_of
from webhook_app.pipeline.operations.backtest_inputs import MINUTE, Timeline
from webhook_app.pipeline.operations.backtest_suppressions import Blocked, would_be_blocked
from webhook_app.rules.incidents.alerts import AlertState, Rule, Transition, advance
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.muting import LINGER, OpenAlert, muted
from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, incident
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.counts import rates
from webhook_app.store.postgres.engine import Engine

Progress = Callable[[float], None]
"""Told the share that is done, now and then."""


class BacktestAlert(Struct, kw_only=True):
    """An alert that would have fired. `resolved_at` None: it still does at the end."""

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
    """When people would first have heard of it; None: another one spoke for it."""
    spoken_for_by: int | None = None
    attempts: int
    failures: int
    peak_rate: float = 0.0
    why: str
    """The look at which it fired."""

    def minutes(self, end: datetime) -> int:
        return int(((self.resolved_at or end) - self.fired_at) / MINUTE)


class BacktestReport(Struct, kw_only=True):
    start: datetime
    end: datetime
    evaluations: int
    firings: list[BacktestAlert]
    left_out: list[str]
    """Rules of kinds that cannot be judged afterwards."""
    blocked: list[Blocked]
    """Whom the failures of this time would have suppressed, those explained by these alerts left out."""
    spared: int
    """How many more it would have been without the alerts."""


class _Running(Struct):
    """An alert that is open while the past goes by."""

    group: dict[str, str | int]
    state: AlertState
    limit: float
    began_at: datetime
    firing: BacktestAlert | None = None


class _PastInputs:
    """All that is open at one moment of the past, and all that has fired."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.running: dict[tuple[str, str], _Running] = {}
        self.fired: list[BacktestAlert] = []

    def look(self, rule: Rule, line: Timeline) -> None:
        """What one evaluation of one rule changes."""
        opened = [
            Open(held.group, held.limit, held.firing is not None)
            for (name, _), held in self.running.items()
            if name == rule.name
        ]
        for case in cases_of(rule, line, opened).cases:
            self._advance(case)

    def _advance(self, case: RuleGroup) -> None:
        rule, key = case.rule, (case.rule.name, case.key)
        held = self.running.get(key)
        verdict = advance(rule, case.look, held.state if held else None)
        if verdict.transition in (Transition.CLEAR, Transition.RESOLVE) and held is not None:
            if held.firing is not None:
                held.firing.resolved_at = self.now
            del self.running[key]
            return
        if held is None:
            if verdict.transition is Transition.NONE:
                return
            held = self.running[key] = _Running(
                case.group, AlertState(state="pending"), case.look.limit, self.now
            )
        if verdict.transition is Transition.FIRE:
            held.firing = self._fire(case, held, verdict.reason)
        held.state = AlertState(
            state="firing" if held.firing else "pending",
            evaluations_above=verdict.evaluations_above,
            evaluations_below=verdict.evaluations_below,
        )
        if held.firing is not None:
            _worsen(held.firing, case)

    def _fire(self, case: RuleGroup, held: _Running, why: str) -> BacktestAlert:
        rule = case.rule
        firing = BacktestAlert(
            number=len(self.fired) + 1,
            rule=rule.name,
            kind=rule.kind,
            severity=rule.severity,
            group=case.group,
            codes=codes_of(case),
            covers_from=rates.window(held.began_at, rule.window_minutes)[0],
            fired_at=self.now,
            attempts=case.counts.attempts,
            failures=case.counts.failures,
            why=why,
        )
        self.fired.append(firing)
        return firing

    def mute(self) -> None:
        """Who would have been told of what fires now."""
        now = self.now
        lately = [f for f in self.fired if f.resolved_at is None or now - f.resolved_at < LINGER]
        untold = [f for f in lately if f.resolved_at is None and f.told_at is None]
        if not untold:
            return
        mutes = muted([_standing(firing) for firing in lately], now)
        for firing in untold:
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
    """Judge every `step` from `start` to `end`; a live evaluation every 15 s counts its looks in finer steps."""
    judged = [rule for rule in rules if rule.kind in REPLAYABLE]
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    film, looks = _PastInputs(start), 0
    with snapshot.connect() as connection:
        line = Timeline(connection, start, {rule.window_minutes for rule in judged})
        while film.now <= end and judged:
            line.go_to(film.now)
            for rule in judged:
                film.look(rule, line)
            film.mute()
            looks += 1
            progress(0.95 * ((film.now - start) / (end - start)) if end > start else 0.95)
            film.now += step
        incidents = [_incident(firing, judged) for firing in film.fired if firing.kind in ("rate", "spike")]
        blocked = would_be_blocked(connection, start, end, incidents, thresholds)
        unspared = would_be_blocked(connection, start, end, [], thresholds) if incidents else blocked
    progress(1.0)
    return BacktestReport(
        start=start,
        end=end,
        evaluations=looks,
        firings=film.fired,
        left_out=[rule.name for rule in rules if rule.kind not in REPLAYABLE],
        blocked=blocked,
        spared=len(unspared) - len(blocked),
    )


def _worsen(firing: BacktestAlert, case: RuleGroup) -> None:
    held = case.counts
    if held.attempts >= case.rule.min_attempts:
        firing.peak_rate = max(firing.peak_rate, min(held.failures / held.attempts, 1.0))
    if case.look.escalates:
        firing.severity = max(firing.severity, case.rule.escalate_to, key=rank)


def _standing(firing: BacktestAlert) -> OpenAlert:
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
        told=firing.told_at is not None,
        failures=firing.failures,
    )


def _incident(firing: BacktestAlert, rules: Sequence[Rule]) -> ExplainedPeriod:
    rule = next(each for each in rules if each.name == firing.rule)
    return incident(
        firing.number, rule, firing.group, firing.covers_from, firing.resolved_at, noticed_at=firing.fired_at
    )
