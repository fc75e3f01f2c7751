"""Assigns each firing alert of an evaluation to the incident it belongs to, or opens one for it.

1. An alert that webhooks or other API keys begin to show leaves the incident that it joined by reports alone.
2. Each firing alert without an incident joins one (rules/incidents/joining.py), or opens one.
What an incident becomes is decided afterwards (incident_updates.py).
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import cast

from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.pipeline.incidents.details.incident_details import is_merged, reporters_of_incident
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
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.incidents.evidence import ReportedCalls, is_shown
from webhook_app.rules.incidents.incidents import FiringAlert, KnownIncident
from webhook_app.rules.incidents.joining import AGAIN_WITHIN, Joined, join
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

MOST_JOINING = 500
"""Alerts that join incidents in one evaluation, those that webhooks show first. The next one goes on."""


class IncidentAssignment:
    """The incidents that alerts may join in one evaluation, with their alerts. Incidents are inserted, not updated.

    `made_up`: incidents that only reports of senders show and that are not announced again, by their ids. What webhooks
    show does not belong to them.
    """

    def __init__(self, inputs: RuleInputs, store: IncidentStore, made_up: Collection[int] = ()) -> None:
        self._inputs = inputs
        self._store = store
        self._now = inputs.now
        self._made_up = made_up
        self._left: set[int] = set()
        known = store.known_incidents(self._now - max(AGAIN_WITHIN.values()))
        self.incidents: dict[int, Incident] = {incident.id: incident for incident in known}
        self._known: dict[int, KnownIncident] = {}
        self._members: dict[int, dict[int, Alert]] = {incident_id: {} for incident_id in self.incidents}
        for alert in store.alerts_of(list(self.incidents)):
            self._members[cast("int", alert.incident_id)][alert.id] = alert

    def members(self, incident_id: int) -> list[Alert]:
        """The alerts of the incident, as they are after the changes."""
        return list(self._members[incident_id].values())

    def assign(self, changes: Sequence[AlertChange]) -> None:
        """Give each firing alert its incident: `change.alert` and `incidents` then show it."""
        reported = any(c.alert.state == "firing" and not is_shown(c.alert.webhook_codes) for c in changes)
        calls = self._inputs.reported_calls() if reported else {}
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
            self._store.attempt(f"alert of rule {change.alert.rule}", partial(self._join, change, firing))

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

    def _leave_merged(self, firing: Sequence[AlertChange], calls: ReportedCalls) -> None:
        """Take out of each merged incident the alerts that more than the reports of its API keys shows.

        They join incidents anew, and so are announced by themselves. If that is all of them, they stay, unless the
        incident is made up.
        """
        leaving: dict[int, list[AlertChange]] = {}
        reporters: dict[int, frozenset[str]] = {
            each.id: reporters_of_incident(each)
            for each in self.incidents.values()
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
                    known, firing = self.incidents[incident_id], firing_alert(change, calls)
                    self.incidents[incident_id] = joined_by(known, firing, anew=not place)

    def _take_out(self, change: AlertChange) -> None:
        self._left.add(change.alert.id)
        del self._members[cast("int", change.alert.incident_id)][change.alert.id]
        change.alert = replace(change.alert, incident_id=None)

    def _firing(self, change: AlertChange, calls: ReportedCalls) -> FiringAlert:
        """What decides where the alert belongs; one that has left its incident has only now fired."""
        firing = firing_alert(change, calls)
        return replace(firing, fired_at=self._now) if change.alert.id in self._left else firing

    def _join(self, change: AlertChange, firing: FiringAlert) -> None:
        """Let the alert join the incident it belongs to, or open a new one."""
        origin = (change.alert.rule, change.alert.group_key)
        for incident_id in self.incidents.keys() - self._known.keys():
            members = self._members.get(incident_id, {}).values()
            self._known[incident_id] = known_incident(self.incidents[incident_id], members, self._now)
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
            incident = self.incidents[found.incident_id]
            if holds:
                incident = joined_by(incident, firing, anew=begins)
            if found.reason is Joined.SAME_REPORTER:
                incident = merged(incident, is_growth=self._is_growth(change.alert, incident))
            if found.again:
                incident = opened_again(incident, self._now)
                self._store.clear_acknowledgement(incident.id)
        self.incidents[incident.id] = incident
        if (before := self._known.pop(incident.id, None)) is not None and not begins:
            self._known[incident.id] = known_after(before, incident, firing, origin, self._now, holds=holds)
        change.alert = replace(change.alert, incident_id=incident.id)
        self._members.setdefault(incident.id, {})[change.alert.id] = change.alert

    def _is_growth(self, alert: Alert, incident: Incident) -> bool:
        """Whether the alert names a code and a business number that Meta knows, and no alert of the incident does."""
        place = alert.group.get("code"), alert.group.get("phone_number_id")
        if None in place or str(place[1]) not in self._inputs.known_numbers():
            return False
        members = self._members[incident.id].values()
        return place not in {(each.group.get("code"), each.group.get("phone_number_id")) for each in members}
