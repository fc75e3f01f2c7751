"""Assigns firing alerts to incidents, updates and ends incidents, and decides on their notifications.

Runs in the transaction of an evaluation, after its alerts have changed state:
1. Each alert that fires joins an incident (rules/incidents/joining.py), or opens one. Only merged ones can be left.
2. Open incidents take over the figures of their leading alert; one whose alerts are all resolved ends.
3. Per incident: is there a reason for a notification, and on which channels. Everything is written together.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import cast

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Reason
from webhook_app.pipeline.incidents.alert_details import stored_details
from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.pipeline.incidents.groups.rule_inputs import RuleInputs
from webhook_app.pipeline.incidents.incident_details import (
    by_rank,
    examine,
    is_merged,
    last_resolved,
    notification,
    reporters_of_incident,
    seen_beyond_reports,
    stored,
    with_title,
)
from webhook_app.pipeline.incidents.incident_membership import (
    firing_alert,
    is_only_reported,
    is_proven,
    joined_by,
    joining_order,
    known_after,
    known_incident,
    merged,
    new_incident,
    opened_again,
)
from webhook_app.pipeline.incidents.incident_store import IncidentStore
from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.incidents.alerts import COUNTING_KINDS, Rule
from webhook_app.rules.incidents.announcements import (
    FALLBACK_CHANNEL,
    NotifiedState,
    channels_of_incident,
    notification_reason,
    rank,
    unnamed_channels,
)
from webhook_app.rules.incidents.evidence import ReportedCalls, is_shown
from webhook_app.rules.incidents.findings.chronic import chronic_incident
from webhook_app.rules.incidents.findings.finding import DAY
from webhook_app.rules.incidents.findings.recurring import (
    DAYS_BACK,
    Occasion,
    find_recurring,
    is_clear_rise,
)
from webhook_app.rules.incidents.incidents import FiringAlert, KnownIncident
from webhook_app.rules.incidents.joining import AGAIN_WITHIN, Joined, join
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents import silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

OPEN_DELAY = timedelta(seconds=20)
"""How long an incident gathers alerts before it is announced, so that what belongs together is announced together."""
MOST_JOINING = 500
"""Alerts that join incidents in one evaluation, those that webhooks show first. The next one goes on."""
MOST_EXAMINED = 20
"""Open incidents whose failures one evaluation searches for what they have in common. The next one goes on."""


class IncidentUpdates:
    """The incidents of one evaluation. `channels`: those that are set up.

    `made_up`: incidents that only reports of senders show and that are not announced again, by their ids. What webhooks
    show does not belong to them.
    """

    def __init__(
        self,
        inputs: RuleInputs,
        store: IncidentStore,
        rules: Sequence[Rule],
        public_url: str,
        channels: Collection[str],
        made_up: Collection[int] = (),
    ) -> None:
        self.inputs = inputs
        self._store = store
        self._now = inputs.now
        self._rules = {rule.name: rule for rule in rules}
        self._public_url = public_url
        self._channels = channels
        self._made_up = made_up
        self._unnamed = unnamed_channels(rules, channels)
        self._added = self._examined = 0
        self._left: set[int] = set()
        known = store.known_incidents(self._now - max(AGAIN_WITHIN.values()))
        self._incidents = {incident.id: incident for incident in known}
        self._known: dict[int, KnownIncident] = {}
        self._members: dict[int, dict[int, Alert]] = {incident_id: {} for incident_id in self._incidents}
        for alert in store.alerts_of(list(self._incidents)):
            self._members[cast("int", alert.incident_id)][alert.id] = alert

    def apply(self, changes: Sequence[AlertChange]) -> int:
        """Do everything; returns the number of notifications added to the outbox."""
        reported = any(c.alert.state == "firing" and not is_shown(c.alert.webhook_codes) for c in changes)
        calls = self.inputs.reported_calls() if reported else {}
        newly_shown = self._newly_shown(changes)
        for change in changes:
            if change.alert.incident_id is not None:
                self._members[change.alert.incident_id][change.alert.id] = change.alert
        self._leave_merged([c for c in changes if c.alert.state == "firing"], calls)
        self._prove(newly_shown, calls)
        fired = [c for c in changes if c.alert.state == "firing" and c.alert.incident_id is None]
        joining = sorted(
            ((change, self._firing(change, calls)) for change in fired), key=lambda each: joining_order(*each)
        )
        if len(joining) > MOST_JOINING:
            joining.sort(key=lambda each: not is_shown(each[0].alert.webhook_codes))
        for change, firing in joining[:MOST_JOINING]:
            self._store.attempt(f"alert of rule {change.alert.rule}", partial(self._assign, change, firing))
        active = self._store.active_silences(self._now)
        for incident in self._open_incidents():
            self._store.attempt(f"incident {incident.id}", partial(self._go_on, incident, active))
        self._store.save(
            [change.alert for change in changes],
            [each for each in self._incidents.values() if self._is_changed(each)],
        )
        return self._added

    def _leave_merged(self, firing: Sequence[AlertChange], calls: ReportedCalls) -> None:
        """Take out of each merged incident the alerts that more than the reports of its API keys shows.

        They join incidents anew, and so are announced by themselves. If that is all of them, they stay, unless the
        incident is made up.
        """
        leaving: dict[int, list[AlertChange]] = {}
        reporters: dict[int, frozenset[str]] = {
            each.id: reporters_of_incident(each)
            for each in self._incidents.values()
            if is_merged(each) or each.id in self._made_up
        }
        for change in firing:
            known = reporters.get(change.alert.incident_id or 0)
            if known is None:
                continue
            if change.alert.incident_id in self._made_up:
                if is_shown(change.alert.webhook_codes):
                    self._take_out(change)
            elif is_shown(change.alert.webhook_codes) or (
                "phone_number_id" in change.alert.group and not firing_alert(change, calls).reporters <= known
            ):
                leaving.setdefault(cast("int", change.alert.incident_id), []).append(change)
        for incident_id, gone in leaving.items():
            members = self._members[incident_id].values()
            if len(gone) < sum(alert.state == "firing" for alert in members):
                for change in gone:
                    self._take_out(change)

    def _newly_shown(self, changes: Sequence[AlertChange]) -> dict[int, tuple[bool, list[AlertChange]]]:
        """The firing alerts that only senders reported before, by incident, and whether webhooks showed others of it.

        None of incidents that webhooks showed without failures.
        """
        found: dict[int, tuple[bool, list[AlertChange]]] = {}
        for change in changes:
            alert, incident_id = change.alert, change.alert.incident_id
            if incident_id is None or alert.state != "firing" or not alert.webhook_codes:
                continue
            members = self._members[incident_id]
            if alert.id in members and members[alert.id].webhook_codes == []:
                known = members.values()
                if is_proven(known) or is_only_reported(known):
                    found.setdefault(incident_id, (is_proven(known), []))[1].append(change)
        return found

    def _prove(self, shown: Mapping[int, tuple[bool, list[AlertChange]]], calls: ReportedCalls) -> None:
        """Let alerts that webhooks begin to show join incidents anew, if webhooks showed theirs already: it may have
        another cause. An incident that only senders reported is from now on about what webhooks show.
        """
        for incident_id, (was_proven, changes) in shown.items():
            stayed = [each for each in changes if each.alert.incident_id == incident_id]
            for place, change in enumerate(stayed):
                if was_proven:
                    self._take_out(change)
                else:
                    known, firing = self._incidents[incident_id], firing_alert(change, calls)
                    self._incidents[incident_id] = joined_by(known, firing, anew=not place)

    def _firing(self, change: AlertChange, calls: ReportedCalls) -> FiringAlert:
        """What decides where the alert belongs; one that has left its incident has only now fired."""
        firing = firing_alert(change, calls)
        return replace(firing, fired_at=self._now) if change.alert.id in self._left else firing

    def _take_out(self, change: AlertChange) -> None:
        self._left.add(change.alert.id)
        del self._members[cast("int", change.alert.incident_id)][change.alert.id]
        change.alert = replace(change.alert, incident_id=None)

    def _open_incidents(self) -> list[Incident]:
        """In the order of their ids; of more than can be examined at once, those that more than reports of senders
        shows, then those of numbers that Meta has named, then the most severe first.
        """
        found = sorted((each for each in self._incidents.values() if each.is_open), key=lambda each: each.id)
        if len(found) <= MOST_EXAMINED:
            return found
        known = self.inputs.known_numbers()

        def order(each: Incident) -> tuple[bool, bool, int]:
            shown = any(is_shown(alert.webhook_codes) for alert in self._members[each.id].values())
            return not shown, known.isdisjoint(each.names.get("phone_number_id", ())), -rank(each.severity)

        return sorted(found, key=order)

    def _go_on(self, incident: Incident, active: Sequence[silences.Silence]) -> None:
        """Update an open incident, and add its notifications."""
        updated = self._update(incident)
        silence = self._silence(updated, active)
        self._incidents[incident.id] = self._notify(replace(updated, silenced_by=silence))

    def _is_changed(self, incident: Incident) -> bool:
        return incident.evaluated_at == self._now

    def _assign(self, change: AlertChange, firing: FiringAlert) -> None:
        """Let the alert join the incident it belongs to, or open a new one."""
        origin = (change.alert.rule, change.alert.group_key)
        for incident_id in self._incidents.keys() - self._known.keys():
            members = self._members.get(incident_id, {}).values()
            self._known[incident_id] = known_incident(self._incidents[incident_id], members, self._now)
        left_out = self._made_up if is_shown(firing.webhook_codes) else ()
        known = [each for each in self._known.values() if each.id not in left_out]
        found = join(firing, known, origin, self._now)
        members = self._members.get(found.incident_id or 0, {}).values()
        # What only senders report adds nothing to what webhooks show, and nothing of it remains once webhooks do.
        holds = is_shown(firing.webhook_codes) or not is_proven(members)
        begins = bool(firing.webhook_codes) and is_only_reported(members)
        if found.incident_id is None:
            incident = new_incident(change, firing, self._now)
            incident = replace(incident, id=self._store.insert_incident(incident))
        else:
            incident = self._incidents[found.incident_id]
            if holds:
                incident = joined_by(incident, firing, anew=begins)
            if found.reason is Joined.SAME_REPORTER:
                incident = merged(incident, is_growth=self._is_growth(change.alert, incident))
            if found.again:
                incident = opened_again(incident, self._now)
                self._store.clear_acknowledgement(incident.id)
        self._incidents[incident.id] = incident
        if (before := self._known.pop(incident.id, None)) is not None and not begins:
            self._known[incident.id] = known_after(before, incident, firing, origin, self._now, holds=holds)
        change.alert = replace(change.alert, incident_id=incident.id)
        self._members.setdefault(incident.id, {})[change.alert.id] = change.alert

    def _update(self, incident: Incident) -> Incident:
        """The incident with the state of its alerts."""
        members = self._members[incident.id].values()
        firing = [alert for alert in members if alert.state == "firing"]
        incident = replace(incident, evaluated_at=self._now)
        if reporters_of_incident(incident) and any(is_shown(alert.webhook_codes) for alert in members):
            incident = replace(incident, details=to_builtins(replace(stored(incident), reporters=())))
        if not firing:
            how = (members and last_resolved(members).ended_how) or "recovered"
            incident = replace(incident, state="ended", ended_at=self._now, ended_how=how)
            return self._become_finding(incident) if how == "chronic" and incident.codes else incident
        leading = by_rank(firing)[0]
        severity = max((incident.severity, *(alert.severity for alert in firing)), key=rank)
        incident = replace(incident, severity=severity)
        if leading.kind in COUNTING_KINDS:
            names = ("attempts", "failures", "rate", "low", "high", "threshold", "window_minutes")
            incident = replace(incident, **{name: getattr(leading, name) for name in names})
            if leading.rate > incident.worst_rate and leading.attempts and self._fails_now(leading):
                incident = replace(incident, worst_rate=leading.rate, worst_at=self._now)
        return incident

    def _fails_now(self, alert: Alert) -> bool:
        """Whether the shortest window has a failure: a longer one keeps its rate long after the last."""
        return stored_details(alert).last_failure_at in (None, self._now)

    def _silence(self, incident: Incident, active: Sequence[silences.Silence]) -> int | None:
        """The silence that covers every firing alert of the incident, if one does."""
        firing = [alert for alert in self._members[incident.id].values() if alert.state == "firing"]
        shown = (
            incident.codes if any(is_shown(alert.webhook_codes) for alert in firing if alert.codes) else []
        )
        covering = [
            next((each.id for each in active if is_silenced(each.matchers, facts)), None)
            for facts in (
                _silence_facts(alert, incident, incident.codes if alert.codes else shown) for alert in firing
            )
        ]
        return covering[0] if covering and None not in covering else None

    def _notify(self, incident: Incident) -> Incident:
        """Add notifications if there is a reason for them, and record them with the incident.

        A channel that was not notified yet, because only an alert that joined later names it, gets the opening.
        """
        members = self._members[incident.id]
        if incident.is_open and self._examined >= MOST_EXAMINED:
            return incident if incident.title else with_title(incident, list(members.values()))
        seen = seen_beyond_reports(list(members.values()))
        confirmed = seen if incident.is_open and stored(incident).only_reported else ""
        if is_risen(incident) or confirmed:
            incident = replace(incident, finding_id=None)
        reason = self._reason(incident, is_confirmed=bool(confirmed))
        if reason in ("fired", "again") and (recurring := self._recurring(incident)) is not None:
            incident, reason = recurring, None
        notified = stored(incident).channels
        channels = self._channels_for(incident, reason or "fired")
        is_announced = incident.notified_at and incident.silenced_by is None and incident.finding_id is None
        if reason is None and is_announced and incident.is_open:
            channels = [name for name in channels if name not in notified]
            reason = "fired" if channels else None
        is_over = incident.finding_id is not None and not incident.is_open
        if not (reason and channels) and incident.title and not is_over:
            return incident
        self._examined += incident.is_open
        incident = examine(self.inputs, incident, list(members.values()))
        if not (reason and channels):
            return incident
        message = notification(
            incident, list(members.values()), self._rules, reason, self._now, self._public_url
        )
        if reason == "escalated":
            message = replace(message, confirmed=confirmed)
        for channel in channels:
            self._store.notify(incident.id, channel, reason, message, self._now)
            self._added += 1
        details = replace(
            stored(incident),
            channels=tuple(dict.fromkeys([*notified, *channels])),
            only_reported=not seen,
            has_grown=False,
        )
        return replace(
            incident,
            details=to_builtins(details),
            notified_at=incident.notified_at or self._now,
            last_notified_at=self._now,
            notified_severity=incident.severity,
            repeats=incident.repeats + (reason == "repeated"),
        )

    def _become_finding(self, incident: Incident) -> Incident:
        """Store the finding that the incident is from now on: it has lasted seven days."""
        incident = examine(self.inputs, incident, list(self._members[incident.id].values()))
        found = chronic_incident(
            incident_id=incident.id,
            title=incident.title,
            codes=incident.codes,
            part=incident.slice,
            waba_ids=incident.names.get("waba_id", ()),
            failures=incident.total_failures,
            share=incident.rate,
            threshold=incident.threshold,
            advice=incident.advice,
            since=incident.began_at,
        )
        finding_id, _ = self._store.add_finding(found, self._now, self._now)
        return replace(incident, finding_id=finding_id)

    def _recurring(self, incident: Incident) -> Incident | None:
        """The incident as a part of a recurring finding, if it comes back at this hour: nobody is notified of it."""
        if incident.account_wide:
            return None
        seen = seen_beyond_reports(list(self._members[incident.id].values()))
        now = Occasion(
            incident_id=incident.id,
            at=incident.opened_at,
            codes=incident.codes,
            names=incident.names,
            failures=incident.failures,
            is_reported=not seen,
        )
        found = find_recurring(now, self._store.occasions(self._now - DAYS_BACK * DAY - OPEN_DELAY))
        if found is None:
            return None
        finding_id, _ = self._store.add_finding(found, self._now, self._now)
        details = replace(
            stored(incident),
            usual_failures=found.evidence["usual_failures"],
            only_reported=not seen,
        )
        return replace(incident, finding_id=finding_id, details=to_builtins(details))

    def _reason(self, incident: Incident, *, is_confirmed: bool) -> Reason | None:
        if incident.finding_id is not None and incident.ended_how != "chronic":
            return None
        if not incident.is_open:
            was_announced = incident.notified_at is not None and not self._is_again(incident)
            return "resolved" if was_announced else None
        firing = [alert for alert in self._members[incident.id].values() if alert.state == "firing"]
        if incident.silenced_by is not None:
            return None
        if incident.notified_at is None or self._is_again(incident):
            waited = self._now - incident.opened_at >= OPEN_DELAY
            urgent = any(
                alert.kind == "attention" and rank(alert.severity) >= rank("critical") for alert in firing
            )
            above = any(alert.evaluations_above for alert in firing)
            if not above or not (waited or urgent):
                return None
            return "fired" if incident.notified_at is None else "again"
        leading = by_rank(firing)[0]
        rule = self._rules.get(leading.rule)
        state = _notified_state(
            incident, is_confirmed=is_confirmed, has_grown=is_merged(incident) and stored(incident).has_grown
        )
        return None if rule is None else notification_reason(rule, state, self._now)

    def _is_growth(self, alert: Alert, incident: Incident) -> bool:
        """Whether the alert names a code and a business number that Meta knows, and no alert of the incident does."""
        place = alert.group.get("code"), alert.group.get("phone_number_id")
        if None in place or str(place[1]) not in self.inputs.known_numbers():
            return False
        members = self._members[incident.id].values()
        return place not in {(each.group.get("code"), each.group.get("phone_number_id")) for each in members}

    def _is_again(self, incident: Incident) -> bool:
        """Whether the incident opened again after its last notification."""
        return (
            bool(incident.again)
            and incident.last_notified_at is not None
            and (incident.last_notified_at < incident.opened_at)
        )

    def _channels_for(self, incident: Incident, reason: Reason) -> list[str]:
        """The channels of the rules of its firing alerts; for the end, those that were notified of it."""
        if reason == "resolved":
            named = self._store.notified_channels(incident.id)
            return list(dict.fromkeys(name if name in self._channels else FALLBACK_CHANNEL for name in named))
        rules = {
            alert.rule: self._rules[alert.rule]
            for alert in self._members[incident.id].values()
            if alert.state == "firing" and alert.rule in self._rules
        }
        return channels_of_incident(rules.values(), incident.severity, self._unnamed, self._channels)


def is_risen(incident: Incident) -> bool:
    """Whether clearly more fails than on the other days of the recurring finding that it belongs to."""
    usual = stored(incident).usual_failures
    belongs = incident.finding_id is not None and incident.is_open
    return belongs and is_clear_rise(incident.failures, usual)


def _silence_facts(alert: Alert, incident: Incident, codes: Sequence[int]) -> dict[str, str | int]:
    """The facts that a silence matches: the alert's own, and the only code, number, … of the incident."""
    facts: dict[str, str | int] = {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity}
    facts |= {"code": codes[0]} if len(codes) == 1 else {}
    facts |= {name: held[0] for name, held in incident.names.items() if len(held) == 1 and name in DIMENSIONS}
    return facts | alert.group


def _notified_state(incident: Incident, *, is_confirmed: bool, has_grown: bool) -> NotifiedState:
    return NotifiedState(
        is_confirmed=is_confirmed,
        has_grown=has_grown,
        severity=incident.severity,
        notified_severity=incident.notified_severity,
        notified_at=incident.last_notified_at or incident.opened_at,
        repeats=incident.repeats,
        acknowledged=incident.acknowledged_at is not None,
        snoozed_until=incident.snoozed_until,
    )
