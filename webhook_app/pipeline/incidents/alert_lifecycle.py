"""Moves alerts along their lives: pending, firing, resolved. Whether anybody is told is decided afterwards.

Works in the transaction of an evaluation, whose locks make it alone with the open alerts.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_details import AlertDetails, codes_of, figures_of, recall
from webhook_app.pipeline.incidents.rate_groups import COUNTING, RuleGroup
from webhook_app.rules.incidents.alerts import AlertState, AlertVerdict, Reading, Transition, advance
from webhook_app.rules.incidents.announcements import rank
from webhook_app.store.counts import rates
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection


class AlertChange(Struct):
    """An alert after its look, not yet written. Without a case no rule watches it any more."""

    alert: Alert
    explanation: AlertDetails
    case: RuleGroup | None
    transition: Transition


class AlertLifecycle:
    """One evaluation's alerts. `known`: the ids that the looks have taken into account."""

    def __init__(self, connection: Connection, now: datetime, known: Collection[int]) -> None:
        self.groups = 0
        self.transitions: Counter[str] = Counter()
        self.moved: list[AlertChange] = []
        self._connection = connection
        self._now = now
        self._known = known
        self._open = {(a.rule, a.group_key): a for a in alerts.open_alerts(connection, lock=True)}

    def judge(self, case: RuleGroup) -> None:
        """What the look at this group changes."""
        alert = self._open.pop((case.rule.name, case.key), None)
        if alert is not None and alert.evaluated_at >= self._now:
            return
        self.groups += 1
        verdict = advance(case.rule, case.look, _state(alert))
        if verdict.transition is not Transition.NONE:
            self.transitions[verdict.transition.value] += 1
        if alert is None:
            if verdict.transition in (Transition.PEND, Transition.FIRE):
                self._begin(case, verdict)
        elif verdict.transition is Transition.CLEAR:
            alerts.remove_pending(self._connection, alert.id)
        else:
            self._go_on(case, alert, verdict)

    def end_orphans(self) -> None:
        """Close what no rule watches any more: the rule has left the file or groups differently now."""
        for alert in self._open.values():
            if alert.evaluated_at >= self._now or alert.id not in self._known:
                continue
            if alert.state == "pending":
                alerts.remove_pending(self._connection, alert.id)
                continue
            self.transitions[Transition.RESOLVE.value] += 1
            gone = "No rule watches this group any more: the rules were changed."
            over = replace(alert, state="resolved", resolved_at=self._now, evaluated_at=self._now)
            self.moved.append(
                AlertChange(over, replace(recall(alert), reason=gone), None, Transition.RESOLVE)
            )

    def _begin(self, case: RuleGroup, verdict: AlertVerdict) -> None:
        """Begin the incident, unless somebody else has in the meantime: then it is theirs to go on with."""
        rule = case.rule
        start = rates.window(self._now, rule.window_minutes)[0] if rule.kind in COUNTING else self._now
        blank = Alert(
            rule=rule.name,
            kind=rule.kind,
            severity=rule.severity,
            state="pending",
            group=case.group,
            codes=[],
            covers_from=start,
            started_at=self._now,
            evaluated_at=self._now,
        )
        moved = self._seen(case, blank, verdict)
        new_id = alerts.insert_new(self._connection, moved.alert)
        if new_id is not None:
            moved.alert = replace(moved.alert, id=new_id)
            self.moved.append(moved)

    def _go_on(self, case: RuleGroup, alert: Alert, verdict: AlertVerdict) -> None:
        self.moved.append(self._seen(case, alert, verdict))

    def _seen(self, case: RuleGroup, alert: Alert, verdict: AlertVerdict) -> AlertChange:
        rule, look = case.rule, case.look
        kept = recall(alert) if alert.explanation else AlertDetails(since=alert.covers_from)
        if codes := codes_of(case):
            kept = replace(kept, codes=codes)
        alert = figures_of(alert, case)
        peak = max(kept.peak_rate, alert.rate if alert.attempts >= rule.min_attempts else 0.0)
        kept = replace(kept, peak_rate=peak, reason=verdict.reason)
        if look.reading is not Reading.NO_DATA or not kept.finding:
            kept = replace(kept, finding=case.finding, details=case.details, advice=case.advice)
        alert = replace(
            alert,
            severity=_severity(case, alert),
            codes=list(dict.fromkeys([*(each.code for each in kept.codes), *alert.codes])),
            evaluations_above=verdict.evaluations_above,
            evaluations_below=verdict.evaluations_below,
            threshold=look.limit if alert.state == "pending" or rule.kind != "spike" else alert.threshold,
            window_minutes=rule.window_minutes,
            explanation=to_builtins(kept),
            evaluated_at=self._now,
        )
        return AlertChange(_moved(alert, verdict.transition, self._now), kept, case, verdict.transition)


def _severity(case: RuleGroup, alert: Alert) -> str:
    """The rule's own, or what it escalates to; while an alert is open it never becomes milder by itself."""
    rule = case.rule
    raised = rule.escalate_to if case.look.escalates else rule.severity
    standing = (
        alert.severity if alert.id and rule.escalate_above and alert.severity == rule.escalate_to else raised
    )
    return max(raised, standing, key=rank)


def _state(alert: Alert | None) -> AlertState | None:
    if alert is None:
        return None
    return AlertState(
        state="firing" if alert.state == "firing" else "pending",
        evaluations_above=alert.evaluations_above,
        evaluations_below=alert.evaluations_below,
    )


def _moved(alert: Alert, transition: Transition, now: datetime) -> Alert:
    match transition:
        case Transition.FIRE:
            return replace(alert, state="firing", fired_at=now)
        case Transition.RESOLVE:
            return replace(alert, state="resolved", resolved_at=now)
        case _:
            return alert
