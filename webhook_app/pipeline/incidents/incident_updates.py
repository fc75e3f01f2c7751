"""Updates and ends the incidents of an evaluation, and writes them with its alerts and notifications.

Runs in the transaction of the evaluation, after its alerts have changed state:
1. Each alert that fires is assigned to an incident (incident_assignment.py).
2. Open incidents take over the figures of their leading alert; one whose alerts are all resolved ends.
3. Each is announced where there is a reason (incident_announcements.py). Everything is written together.
"""

from collections.abc import Collection, Sequence
from functools import partial

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.pipeline.incidents.details.alert_details import stored_details
from webhook_app.pipeline.incidents.details.examination import examine
from webhook_app.pipeline.incidents.details.incident_details import reporters_of_incident, stored
from webhook_app.pipeline.incidents.details.ranked_alerts import by_rank, last_resolved
from webhook_app.pipeline.incidents.incident_announcements import IncidentAnnouncements
from webhook_app.pipeline.incidents.incident_assignment import IncidentAssignment
from webhook_app.pipeline.incidents.incident_store import IncidentStore
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.evidence import is_proven, is_shown
from webhook_app.rules.incidents.findings.chronic import chronic_incident
from webhook_app.rules.incidents.findings.finding import as_reported
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, Rule
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.silences import Silence


class IncidentUpdates:
    """The incidents of one evaluation. `channels`: those that are set up."""

    def __init__(
        self,
        inputs: RuleInputs,
        store: IncidentStore,
        rules: Sequence[Rule],
        public_url: str,
        channels: Collection[str],
    ) -> None:
        self._inputs = inputs
        self._store = store
        self._now = inputs.now
        self._assignment = IncidentAssignment(inputs, store)
        self._announcements = IncidentAnnouncements(inputs, store, rules, public_url, channels)

    def apply(self, changes: Sequence[AlertChange]) -> int:
        """Do everything; returns the number of notifications added to the outbox."""
        self._assignment.assign(changes)
        incidents = self._assignment.incidents
        active = self._store.active_silences(self._now)
        is_open = [incident for incident in incidents.values() if incident.is_open]
        for incident in self._announcements.ordered(is_open, self._assignment.members):
            self._store.attempt(f"incident {incident.id}", partial(self._go_on, incident, active))
        self._store.save(
            [change.alert for change in changes],
            [incident for incident in incidents.values() if incident.evaluated_at == self._now],
        )
        return self._announcements.added

    def _go_on(self, incident: Incident, active: Sequence[Silence]) -> None:
        """Update an open incident, and add its notifications."""
        members = self._assignment.members(incident.id)
        updated = self._update(incident, members)
        updated = replace(updated, silenced_by=_silence(updated, members, active))
        self._assignment.incidents[incident.id] = self._announcements.announce(updated, members)

    def _update(self, incident: Incident, members: Sequence[Alert]) -> Incident:
        """The incident with the state of its alerts."""
        firing = [alert for alert in members if alert.state == "firing"]
        incident = replace(incident, evaluated_at=self._now)
        if reporters_of_incident(incident) and any(is_shown(alert.webhook_codes) for alert in members):
            incident = replace(incident, details=to_builtins(replace(stored(incident), reporters=())))
        if not firing:
            how = (members and last_resolved(members).ended_how) or "recovered"
            incident = replace(incident, state="ended", ended_at=self._now, ended_how=how)
            return (
                self._become_finding(incident, members) if how == "chronic" and incident.codes else incident
            )
        if is_proven(members) and not (firing := [each for each in firing if is_shown(each.webhook_codes)]):
            return incident
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

    def _become_finding(self, incident: Incident, members: Sequence[Alert]) -> Incident:
        """Store the finding that the incident is from now on: it has lasted seven days."""
        incident = examine(self._inputs, incident, members)
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
        if reporters_of_incident(incident):
            found = as_reported(found)
        finding_id, _ = self._store.add_finding(found, self._now, self._now)
        return replace(incident, finding_id=finding_id)


def _silence(incident: Incident, members: Sequence[Alert], active: Sequence[Silence]) -> int | None:
    """The silence that covers every firing alert of the incident, if one does."""
    firing = [alert for alert in members if alert.state == "firing"]
    shown = incident.codes if any(is_shown(alert.webhook_codes) for alert in firing if alert.codes) else []
    covering = [
        next((each.id for each in active if is_silenced(each.matchers, facts)), None)
        for facts in (
            _silence_facts(alert, incident, incident.codes if alert.codes else shown) for alert in firing
        )
    ]
    return covering[0] if covering and None not in covering else None


def _silence_facts(alert: Alert, incident: Incident, codes: Sequence[int]) -> dict[str, str | int]:
    """The facts that a silence matches: the alert's own, and the only code, number, … of the incident."""
    facts: dict[str, str | int] = {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity}
    facts |= {"code": codes[0]} if len(codes) == 1 else {}
    facts |= {name: held[0] for name, held in incident.names.items() if len(held) == 1 and name in DIMENSIONS}
    return facts | alert.group
