"""Every few seconds: the windows at `now` against the rules; alerts and the outbox are written together.

1. Each distinct window length is read once, in one read-only snapshot, and feeds every rule that uses it.
2. In one transaction: open alerts are locked, each group is decided, changes and notifications are written.
A rival evaluation waits for the locks and then finds nothing left to do for this `now`.
Old events lie in old minutes, outside of every window: a backlog raises no alert.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from msgspec import Struct, to_builtins
from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from webhook_app.channels.notification import Reason
from webhook_app.pipeline.incident import (
    Explanation,
    examine,
    figures_of,
    notification,
    recall,
    renew,
)
from webhook_app.pipeline.rule_cases import Case, cases_of
from webhook_app.rules.alerting import AlertState, Rule, Transition, Verdict, decide
from webhook_app.rules.failure_rate import measure
from webhook_app.store import alerts, counts, notifications
from webhook_app.store.alerts import Alert
from webhook_app.store.window_counts import WindowCounts

FALLBACK_CHANNEL = "log"
"""Told in place of channels that are not set up."""


class Summary(Struct, frozen=True):
    """What an evaluation did: groups looked at, transitions by name, notifications put into the outbox."""

    groups: int
    transitions: dict[str, int]
    notifications: int


class _Round:
    """One evaluation: what all its steps share, and what they did."""

    def __init__(
        self, connection: Connection, now: datetime, public_url: str, channels: Collection[str]
    ) -> None:
        self.connection = connection
        self.now = now
        self.public_url = public_url
        self.channels = channels
        self.groups = 0
        self.told = 0
        self.transitions: Counter[str] = Counter()


def evaluate(
    engine: Engine,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str = "",
    channels: Collection[str] = (FALLBACK_CHANNEL,),
) -> Summary:
    """Bring the alerts up to date. `channels` are those set up; for others the log is told."""
    windows = _read_windows(engine, {rule.window_minutes for rule in rules}, now)
    with engine.begin() as connection:
        step = _Round(connection, now, public_url, channels)
        open_alerts = {
            (alert.rule, alert.group_key): alert for alert in alerts.open_alerts(connection, lock=True)
        }
        for rule in rules:
            for case in cases_of(rule, windows[rule.window_minutes], open_alerts):
                _judge(step, case)
        for alert in open_alerts.values():  # what no rule has taken
            _end_orphan(step, alert)
        return Summary(step.groups, dict(step.transitions), step.told)


def _read_windows(engine: Engine, lengths: Iterable[int], now: datetime) -> dict[int, WindowCounts]:
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as connection:
        return {minutes: counts.read_window(connection, *counts.window(now, minutes)) for minutes in lengths}


def _judge(step: _Round, case: Case) -> None:
    alert, held = case.alert, case.counts
    if alert is not None and alert.evaluated_at >= step.now:
        return
    step.groups += 1
    rate = measure(held.attempts, held.failures) if held.attempts or held.failures else None
    verdict = decide(case.rule, rate, _state(alert), step.now)
    if verdict.transition is not Transition.NONE:
        step.transitions[verdict.transition.value] += 1
    if alert is None:
        if verdict.transition in (Transition.PEND, Transition.FIRE):
            _open(step, case, verdict)
    elif verdict.transition is Transition.CLEAR:
        alerts.remove_pending(step.connection, alert.id)
    else:
        _continue(step, case, alert, verdict)


def _state(alert: Alert | None) -> AlertState | None:
    if alert is None:
        return None
    return AlertState(
        state="firing" if alert.state == "firing" else "pending",
        evaluations_above=alert.evaluations_above,
        evaluations_below=alert.evaluations_below,
        fired_at=alert.fired_at,
        notified_at=alert.notified_at,
        acknowledged=alert.acknowledged_at is not None,
        snoozed_until=alert.snoozed_until,
        repeats=alert.repeats,
    )


def _open(step: _Round, case: Case, verdict: Verdict) -> None:
    """Begin the incident, unless somebody else has in the meantime: then it is theirs to tell."""
    start, _ = counts.window(step.now, case.rule.window_minutes)
    blank = Alert(
        rule=case.rule.name,
        kind=case.rule.kind,
        severity=case.rule.severity,
        state="pending",
        group=case.group,
        codes=[],
        covers_from=start,
        started_at=step.now,
        evaluated_at=step.now,
    )
    alert, explanation = _seen(step, case, blank, verdict)
    new_id = alerts.insert_new(step.connection, alert)
    if new_id is not None and verdict.transition is Transition.FIRE:
        _tell(step, replace(alert, id=new_id), explanation, case.rule, "fired")


def _continue(step: _Round, case: Case, alert: Alert, verdict: Verdict) -> None:
    alert, explanation = _seen(step, case, alert, verdict)
    alerts.save(step.connection, alert)
    if reason := _REASONS.get(verdict.transition):
        _tell(step, alert, explanation, case.rule, reason)


_REASONS: dict[Transition, Reason] = {
    Transition.FIRE: "fired",
    Transition.REPEAT: "repeated",
    Transition.RESOLVE: "resolved",
}
_LOOKED_INTO = (Transition.PEND, Transition.FIRE, Transition.REPEAT)


def _seen(step: _Round, case: Case, alert: Alert, verdict: Verdict) -> tuple[Alert, Explanation]:
    """The alert after this evaluation, and what is known of its incident."""
    rule = case.rule
    kept = recall(alert) if alert.explanation else None
    if kept is None or verdict.transition in _LOOKED_INTO:
        span = counts.window(step.now, rule.window_minutes)
        found = examine(step.connection, rule, case.group, case.window, span)
        kept = renew(kept, found) if kept else found
    alert = figures_of(alert, case.counts.attempts, case.counts.failures)
    peak = max(kept.peak_rate, alert.rate if alert.attempts >= rule.min_attempts else 0.0)
    kept = replace(kept, peak_rate=peak, reason=verdict.reason)
    alert = replace(
        alert,
        severity=rule.severity,
        codes=list(dict.fromkeys([*(count.code for count in kept.codes), *alert.codes])),
        evaluations_above=verdict.evaluations_above,
        evaluations_below=verdict.evaluations_below,
        threshold=rule.threshold,
        window_minutes=rule.window_minutes,
        explanation=to_builtins(kept),
        evaluated_at=step.now,
    )
    return _moved(alert, verdict.transition, step.now), kept


def _moved(alert: Alert, transition: Transition, now: datetime) -> Alert:
    match transition:
        case Transition.FIRE:
            return replace(alert, state="firing", fired_at=now, notified_at=now)
        case Transition.REPEAT:
            return replace(alert, repeats=alert.repeats + 1, notified_at=now)
        case Transition.RESOLVE:
            return replace(alert, state="resolved", resolved_at=now, notified_at=now)
        case _:
            return alert


def _end_orphan(step: _Round, alert: Alert) -> None:
    """Close what no rule watches any more: the rule has left the file or groups differently now."""
    if alert.evaluated_at >= step.now:
        return
    if alert.state == "pending":
        alerts.remove_pending(step.connection, alert.id)
        return
    gone = "No rule watches this group any more: the rules were changed."
    explanation = replace(recall(alert), reason=gone)
    alert = replace(alert, explanation=to_builtins(explanation), evaluated_at=step.now)
    alert = _moved(alert, Transition.RESOLVE, step.now)
    alerts.save(step.connection, alert)
    step.transitions[Transition.RESOLVE.value] += 1
    _tell(step, alert, explanation, None, "resolved")


def _tell(step: _Round, alert: Alert, explanation: Explanation, rule: Rule | None, reason: Reason) -> None:
    """One row of the outbox for each channel; without a rule, for those that have heard of the alert."""
    named = rule.channels if rule else notifications.channels_told(step.connection, alert.id)
    told = notification(alert, explanation, rule, reason, step.now, step.public_url)
    for channel in dict.fromkeys(name if name in step.channels else FALLBACK_CHANNEL for name in named):
        notifications.add(step.connection, alert.id, channel, reason, to_builtins(told), step.now)
        step.told += 1
