"""Assigns each firing alert of an evaluation to the incident it belongs to, or opens one for it.

1. An alert that webhooks or other API keys begin to show leaves the incident that only some keys report, and one that
   only reports show leaves the incident that webhooks no longer do.
2. Each firing alert without an incident joins one (rules/incidents/joining.py), or opens one.
What an incident becomes is decided afterwards (incident_updates.py).
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import cast

from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.pipeline.incidents.details.incident_details import reporters_of_incident
from webhook_app.pipeline.incidents.incident_membership import (
    failing_of,
    firing_alert,
    grown,
    is_beyond,
    is_of_reports,
    joined_by,
    joining_order,
    known_after,
    known_incident,
    merged,
    new_incident,
    opened_again,
    spreads,
)
from webhook_app.pipeline.incidents.incident_store import IncidentStore
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.incidents.evidence import (
    ENOUGH_CALLS,
    ReportedCalls,
    calls_of_others,
    is_lasting,
    is_proven,
    is_shown,
)
from webhook_app.rules.incidents.incidents import FiringAlert, KnownIncident
from webhook_app.rules.incidents.joining import AGAIN_WITHIN, Joined, join
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

MOST_JOINING = 500
"""Alerts that join incidents in one evaluation, those that webhooks show first. The next one goes on."""


class IncidentAssignment:
    """The incidents that alerts may join in one evaluation, with their alerts. Incidents are inserted, not updated."""

    def __init__(self, inputs: RuleInputs, store: IncidentStore) -> None:
        self._inputs = inputs
        self._store = store
        self._now = inputs.now
        self._left: dict[int, dict[int, Alert]] = {}  # by incident and alert
        self._joint: dict[int, frozenset[str]] = {}  # the keys that report an alert that has left, by alert
        known = store.known_incidents(self._now - max(AGAIN_WITHIN.values()))
        self.incidents: dict[int, Incident] = {incident.id: incident for incident in known}
        self._known: dict[int, KnownIncident] = {}
        self._members: dict[int, dict[int, Alert]] = {incident_id: {} for incident_id in self.incidents}
        for alert in store.alerts_of(list(self.incidents)):
            self._members[cast("int", alert.incident_id)][alert.id] = alert

    def members(self, incident_id: int) -> list[Alert]:
        """The alerts of the incident, as they are after the changes.

        If all that fired have left it, they end it: they go on in other incidents.
        """
        found = list(self._members[incident_id].values())
        if is_proven(found) or any(alert.state == "firing" for alert in found):
            return found
        return [*found, *self._left.get(incident_id, {}).values()]

    def assign(self, changes: Sequence[AlertChange]) -> None:
        """Give each firing alert its incident: `change.alert` and `incidents` then show it."""
        reported = any(c.alert.state == "firing" and not is_shown(c.alert.webhook_codes) for c in changes)
        calls = self._inputs.reported_calls() if reported else {}
        newly_shown = self._newly_shown(changes)
        of_reports = {
            incident_id
            for incident_id, incident in self.incidents.items()
            if is_of_reports(incident, self._members[incident_id].values())
        }
        for change in changes:
            if change.alert.incident_id is not None:
                self._members[change.alert.incident_id][change.alert.id] = change.alert
        for change in newly_shown:
            self._take_out(change)
        members = [c for c in changes if c.alert.state == "firing" and c.alert.incident_id in of_reports]
        self._leave_reported(members, calls)
        self._leave_recovered(changes)
        fired = [c for c in changes if c.alert.state == "firing" and c.alert.incident_id is None]
        joining = sorted(
            ((change, self._firing(change, calls)) for change in fired), key=lambda each: joining_order(*each)
        )
        for change, firing in joining[:MOST_JOINING]:
            self._store.attempt(f"alert of rule {change.alert.rule}", partial(self._join, change, firing))

    def _newly_shown(self, changes: Sequence[AlertChange]) -> list[AlertChange]:
        """The firing alerts that only senders reported before, of incidents that more shows.

        They join anew, as they may have another cause.
        """
        found = []
        for change in changes:
            alert, members = change.alert, self._members.get(change.alert.incident_id or 0, {})
            if alert.state != "firing" or not is_shown(alert.webhook_codes) or alert.id not in members:
                continue
            others = members.values()
            is_more = (
                is_proven(others) if alert.webhook_codes else any(is_shown(m.webhook_codes) for m in others)
            )
            if not is_shown(members[alert.id].webhook_codes) and is_more:
                found.append(change)
        return found

    def _leave_reported(self, firing: Sequence[AlertChange], calls: ReportedCalls) -> None:
        """Take out of incidents that only some API keys report the alerts that webhooks or other keys show.

        They join incidents anew, and so are announced by themselves: what some keys report may be made up. An alert
        about more than a business number leaves with them, and if it would fire without the calls of these keys.
        """
        reported: dict[int, list[AlertChange]] = {}
        for change in firing:
            reported.setdefault(cast("int", change.alert.incident_id), []).append(change)
        for incident_id, changes in reported.items():
            known = reporters_of_incident(self.incidents[incident_id])
            wide = [each for each in changes if "phone_number_id" not in each.alert.group]
            leaving = [
                each
                for each in changes
                if is_shown(each.alert.webhook_codes)
                or (each not in wide and not firing_alert(each, calls).reporters <= known)
            ]
            for change in wide:
                if others := self._others_above(change, known):
                    self._joint[change.alert.id] = known | others
                    leaving.append(change)
            for change in changes:
                if change in leaving or (leaving and change in wide):
                    self._take_out(change)

    def _leave_recovered(self, changes: Sequence[AlertChange]) -> None:
        """Take out of incidents that webhooks have shown, and long show no more, what only reports prolong.

        It joins an incident of reports, so that made-up calls neither prolong nor change what has recovered. An alert
        without failures in its window ends.
        """
        for change in changes:
            alert, members = change.alert, self._members.get(change.alert.incident_id or 0, {})
            if alert.state != "firing" or is_shown(alert.webhook_codes):
                continue
            others = [each for each in members.values() if is_shown(each.webhook_codes)]
            if not is_proven(others) or any(is_lasting(each, self._now) for each in others):
                continue
            if alert.failures:
                self._take_out(change)
            else:
                ended = {"state": "resolved", "resolved_at": self._now, "ended_how": "quiet"}
                change.alert = members[alert.id] = replace(alert, **ended)

    def _others_above(self, change: AlertChange, known: frozenset[str]) -> frozenset[str]:
        """The keys whose calls hold a wide alert above without those of the known keys; empty if they do not."""
        group = change.rule_group
        if group is None or not known:
            return frozenset()
        calls = self._inputs.reported_calls(group.rule.window_minutes)
        others = calls_of_others(failing_of(group, group.window), calls, known)
        failures, beyond = sum(others.values()), self._inputs.beyond_reports()
        if failures < max(group.rule.min_failures, ENOUGH_CALLS) or beyond is None:
            return frozenset()
        names = tuple(name for name in group.rule.group_by if name != "code")
        attempts = beyond.window(group.rule.window_minutes).attempts_by(names)
        messages = attempts.get(tuple(str(group.group[name]) for name in names), 0) + failures
        return frozenset(others) if failures > change.alert.threshold * messages else frozenset()

    def _take_out(self, change: AlertChange) -> None:
        incident_id = cast("int", change.alert.incident_id)
        del self._members[incident_id][change.alert.id]
        was = {"state": "resolved", "resolved_at": self._now, "ended_how": "split", "webhook_codes": []}
        self._left.setdefault(incident_id, {})[change.alert.id] = replace(change.alert, **was)
        window_start = self._now - timedelta(minutes=change.alert.window_minutes)
        covers_from = max(change.alert.covers_from, window_start)
        change.alert = replace(change.alert, incident_id=None, fired_at=self._now, covers_from=covers_from)

    def _firing(self, change: AlertChange, calls: ReportedCalls) -> FiringAlert:
        """What decides where the alert belongs."""
        firing, joint = firing_alert(change, calls), self._joint.get(change.alert.id)
        return firing if joint is None else replace(firing, reporters=joint)

    def _join(self, change: AlertChange, firing: FiringAlert) -> None:
        """Let the alert join the incident it belongs to, or open a new one."""
        origin = (change.alert.rule, change.alert.group_key)
        for incident_id in self.incidents.keys() - self._known.keys():
            members = self._members.get(incident_id, {}).values()
            self._known[incident_id] = known_incident(self.incidents[incident_id], members, self._now)
        known = [each for each in self._known.values() if not self._has_been_left(each.id)]
        found = join(firing, known, origin, self._now)
        members = self._members.get(found.incident_id or 0, {}).values()
        # What only senders report adds nothing to what webhooks show.
        holds = not is_beyond(firing, members)
        if found.incident_id is None:
            incident = new_incident(change, firing, change.alert.covers_from, self._now)
            incident = replace(incident, id=self._store.insert_incident(incident))
        else:
            incident = self.incidents[found.incident_id]
            if holds and spreads(firing, incident, members):
                incident = grown(incident)
            if holds:
                incident = joined_by(incident, firing)
            if found.reason is Joined.SAME_REPORTER:
                incident = merged(incident)
                incident = grown(incident) if self._is_growth(change.alert, incident) else incident
            if found.again:
                incident = opened_again(incident, self._now)
                self._store.clear_acknowledgement(incident.id)
        self.incidents[incident.id] = incident
        if (before := self._known.pop(incident.id, None)) is not None:
            self._known[incident.id] = known_after(before, incident, firing, origin, self._now, holds=holds)
        change.alert = replace(change.alert, incident_id=incident.id)
        self._members.setdefault(incident.id, {})[change.alert.id] = change.alert

    def _has_been_left(self, incident_id: int) -> bool:
        members = self._members.get(incident_id, {}).values()
        return incident_id in self._left and not any(alert.state == "firing" for alert in members)

    def _is_growth(self, alert: Alert, incident: Incident) -> bool:
        """Whether the alert names a code and a business number that Meta knows, and no alert of the incident does."""
        place = alert.group.get("code"), alert.group.get("phone_number_id")
        if None in place or str(place[1]) not in self._inputs.known_numbers():
            return False
        members = self._members[incident.id].values()
        return place not in {(each.group.get("code"), each.group.get("phone_number_id")) for each in members}
