"""Moves alerts between their states: pending, firing, resolved. Notifications are decided afterwards.

Runs in the transaction of an evaluation, which has locked the open alerts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.details.alert_details import (
    AlertDetails,
    codes_of,
    figures_of,
    first_listed,
    stored_details,
)
from webhook_app.pipeline.incidents.groups.rule_group import RuleGroup
from webhook_app.pipeline.incidents.incident_store import IncidentStore
from webhook_app.pipeline.incidents.inputs.outcome_inputs import outcome_span
from webhook_app.rules.incidents.alerts import (
    AlertState,
    AlertVerdict,
    Reading,
    Transition,
    advance,
    end_without_recovery,
)
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, FAILURE_KINDS, Rule
from webhook_app.rules.wrong_clocks import is_ahead
from webhook_app.store.counts import rates
from webhook_app.store.incidents.alerts import Alert

_NO_SUCCESS = "Still firing: no message has been sent since the last failure."


class AlertChange(Struct):
    """An evaluated alert, not yet written. Without a rule group, no rule covers the alert any more."""

    alert: Alert
    rule_group: RuleGroup | None
    transition: Transition


class AlertLifecycle:
    """The alerts of one evaluation. `known`: the ids of the alerts that the judgements have taken into account."""

    def __init__(self, store: IncidentStore, now: datetime, known: Collection[int]) -> None:
        self.groups = 0
        self.transitions: Counter[str] = Counter()
        self.changes: list[AlertChange] = []
        self._store = store
        self._now = now
        self._known_ids = known
        self._new: list[AlertChange] = []
        self._open_alerts = {(a.rule, a.group_key): a for a in store.open_alerts()}

    def judge_all(self, groups: Iterable[RuleGroup]) -> None:
        """Apply the judgements of these groups. `open_new` then inserts the new alerts."""
        for rule_group in groups:
            self._judge(rule_group)

    def _judge(self, rule_group: RuleGroup) -> None:
        alert = self._open_alerts.pop((rule_group.rule.name, rule_group.key), None)
        if alert is not None and self._is_judged(alert):
            return
        self.groups += 1
        verdict = advance(rule_group.rule, rule_group.judgement, _state(alert))
        if verdict.transition is not Transition.NONE:
            self.transitions[verdict.transition.value] += 1
        if alert is None:
            if verdict.transition in (Transition.PEND, Transition.FIRE):
                self._add_new(rule_group, verdict)
        elif verdict.transition is Transition.CLEAR:
            self._store.remove_pending(alert.id)
        else:
            self.changes.append(self._updated(rule_group, alert, verdict))

    def open_new(self) -> None:
        """Insert the new alerts, except those that a concurrent evaluation has inserted."""
        new, self._new = self._new, []
        ids = self._store.insert_alerts([change.alert for change in new]) if new else []
        for change, new_id in zip(new, ids, strict=True):
            if new_id is not None:
                change.alert = replace(change.alert, id=new_id)
                self.changes.append(change)

    def resolve_unwatched(self, unjudged: Collection[str]) -> None:
        """Resolve alerts that no rule covers any more: the rule was removed or groups differently now.

        `unjudged`: the rules that failed. Their alerts stay as they are.
        """
        for alert in self._open_alerts.values():
            if self._is_judged(alert) or alert.id not in self._known_ids or alert.rule in unjudged:
                continue
            if alert.state == "pending":
                self._store.remove_pending(alert.id)
                continue
            self.transitions[Transition.RESOLVE.value] += 1
            reason = "No rule covers this group any more: the rules were changed."
            resolved = replace(
                alert,
                state="resolved",
                ended_how="rules",
                resolved_at=self._now,
                evaluated_at=self._now,
                explanation=to_builtins(replace(stored_details(alert), reason=reason)),
            )
            self.changes.append(AlertChange(resolved, None, Transition.RESOLVE))

    def _is_judged(self, alert: Alert) -> bool:
        """Whether a concurrent evaluation was later than this one."""
        return alert.evaluated_at >= self._now and not is_ahead(alert.evaluated_at, self._now)

    def _add_new(self, rule_group: RuleGroup, verdict: AlertVerdict) -> None:
        """Add a new alert to those that `open_new` inserts."""
        rule = rule_group.rule
        start = _window_start(rule, self._now)
        blank = Alert(
            rule=rule.name,
            kind=rule.kind,
            severity=rule.severity,
            state="pending",
            group=rule_group.group,
            codes=[],
            webhook_codes=[] if rule.kind in (*FAILURE_KINDS, "silence") else None,
            covers_from=start,
            started_at=self._now,
            evaluated_at=self._now,
        )
        self._new.append(self._updated(rule_group, blank, verdict))

    def _updated(self, rule_group: RuleGroup, alert: Alert, verdict: AlertVerdict) -> AlertChange:
        rule, judgement = rule_group.rule, rule_group.judgement
        is_newly_shown = alert.webhook_codes == [] and bool(rule_group.proof.codes)
        if is_newly_shown:
            alert = self._begun_anew(alert)
        details = stored_details(alert) if alert.explanation else AlertDetails(since=alert.covers_from)
        if codes := codes_of(rule_group):
            listed, more_codes = first_listed(codes)
            details = replace(details, codes=listed, more_codes=more_codes)
        if rule.measure is not None:
            details = replace(details, measure_limit=rule.measure.limit)
        alert = figures_of(alert, rule_group)
        peak = max(details.peak_rate, alert.rate if alert.attempts >= rule.min_attempts else 0.0)
        details = replace(details, peak_rate=peak, reason=verdict.reason)
        recent = rule_group.recent or rule_group.counts
        details = replace(
            details,
            last_attempt_at=_last(details.last_attempt_at, recent.attempts, rule, self._now),
            last_failure_at=_last(details.last_failure_at, recent.failures, rule, self._now),
        )
        if verdict.transition is Transition.RESOLVE and _last_message_failed(details, rule_group, self._now):
            self.transitions[Transition.RESOLVE.value] -= 1
            verdict = replace(verdict, transition=Transition.NONE, reason=_NO_SUCCESS)
            details = replace(details, reason=_NO_SUCCESS)
        ended_how = "recovered" if verdict.transition is Transition.RESOLVE else ""
        if rule.kind in COUNTING_KINDS and alert.state == "firing" and not ended_how:
            ended_how, why = self._end_without_recovery(details, alert, rule_group.usual_gap)
            if ended_how:
                verdict = replace(verdict, transition=Transition.RESOLVE, reason=why)
                details = replace(details, reason=why)
                self.transitions[Transition.RESOLVE.value] += 1
        if judgement.reading is not Reading.NO_DATA or not details.finding:
            details = replace(
                details, finding=rule_group.finding, details=rule_group.details, advice=rule_group.advice
            )
        alert = replace(
            _proven(alert, rule_group, self._now),
            severity=_severity(rule_group, alert),
            codes=_listed_codes([each.code for each in details.codes], alert.codes),
            evaluations_above=verdict.evaluations_above,
            evaluations_below=verdict.evaluations_below,
            threshold=judgement.limit
            if alert.state == "pending" or is_newly_shown or rule.kind != "spike"
            else alert.threshold,
            window_minutes=rule.window_minutes,
            explanation=to_builtins(details),
            ended_how=ended_how,
            evaluated_at=self._now,
        )
        return AlertChange(_apply(alert, verdict.transition, self._now), rule_group, verdict.transition)

    def _begun_anew(self, alert: Alert) -> Alert:
        """The alert without what only senders reported of it so far: from now on webhooks show it."""
        start = self._now - timedelta(minutes=alert.window_minutes)
        covers_from = max(alert.covers_from, start) if alert.window_minutes else alert.covers_from
        return replace(alert, codes=[], severity="", covers_from=covers_from, explanation={})

    def _end_without_recovery(
        self, details: AlertDetails, alert: Alert, usual_gap: timedelta
    ) -> tuple[str, str]:
        return end_without_recovery(
            details.last_attempt_at or self._now,
            details.last_failure_at or self._now,
            alert.fired_at or self._now,
            self._now,
            usual_gap,
        )


def _window_start(rule: Rule, now: datetime) -> datetime:
    """The start of the window that the rule judges; `now` for kinds without one."""
    if rule.measure is not None:
        return outcome_span(rule.measure, rule.window_minutes, now)[0]
    return rates.window(now, rule.window_minutes)[0] if rule.kind in COUNTING_KINDS else now


def _last(known: datetime | None, recent: int, rule: Rule, now: datetime) -> datetime:
    """The time of the last message, from whether the shortest window has any: without one, it is older than that."""
    if recent or known is None:
        return now
    return min(known, now - timedelta(minutes=rule.windows[0] if rule.windows else rule.window_minutes))


def _last_message_failed(details: AlertDetails, rule_group: RuleGroup, now: datetime) -> bool:
    """Whether nothing has been sent lately, and nothing since the last failure, which is in the window.

    Then nothing shows a recovery: the window may hold enough messages from before the failures, and failures that
    another alert held do not count.
    """
    last_attempt, last_failure = details.last_attempt_at, details.last_failure_at
    if rule_group.rule.kind not in COUNTING_KINDS or last_attempt is None or last_failure is None:
        return False
    if (rule_group.recent or rule_group.counts).attempts or _window_start(
        rule_group.rule, now
    ) > last_failure:
        return False
    return last_attempt <= last_failure


def _proven(alert: Alert, rule_group: RuleGroup, now: datetime) -> Alert:
    """The alert with what webhooks alone say of it. Alerts of before that was judged are left as they are."""
    if alert.webhook_codes is None:
        return alert
    proof = rule_group.proof
    if alert.kind == "silence":
        return alert if proof.has_reports else replace(alert, webhook_codes=None)
    shown = bool(proof.codes) or not proof.has_reports
    return replace(
        alert,
        webhook_codes=_listed_codes(proof.codes, alert.webhook_codes),
        webhooks_until=None if shown else alert.webhooks_until or now,
    )


def _listed_codes(current: Sequence[int], earlier: Sequence[int]) -> list[int]:
    """The codes of this evaluation, then those of earlier ones, as many as an alert keeps."""
    return list(first_listed(list(dict.fromkeys([*current, *earlier])))[0])


def _severity(rule_group: RuleGroup, alert: Alert) -> str:
    """The rule's severity, or the one it escalates to. It never falls while the alert is open."""
    rule = rule_group.rule
    raised = rule.escalate_to if rule_group.judgement.escalates else rule.severity
    current = (
        alert.severity if alert.id and rule.escalate_above and alert.severity == rule.escalate_to else raised
    )
    return max(raised, current, key=rank)


def _state(alert: Alert | None) -> AlertState | None:
    if alert is None:
        return None
    return AlertState(
        state="firing" if alert.state == "firing" else "pending",
        evaluations_above=alert.evaluations_above,
        evaluations_below=alert.evaluations_below,
    )


def _apply(alert: Alert, transition: Transition, now: datetime) -> Alert:
    match transition:
        case Transition.FIRE:
            return replace(alert, state="firing", fired_at=now)
        case Transition.RESOLVE:
            return replace(alert, state="resolved", resolved_at=now)
        case _:
            return alert
