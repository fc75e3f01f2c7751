"""Announces incidents: whether there is a reason for a notification, on which channels, and what it says.

Notifications are added to the outbox in the transaction of an evaluation, and recorded with the incident. An incident
that comes back at its usual hour is not announced, but becomes a part of a recurring finding.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Reason
from webhook_app.pipeline.incidents.details.examination import examine, with_title
from webhook_app.pipeline.incidents.details.incident_details import stored
from webhook_app.pipeline.incidents.details.ranked_alerts import (
    announcing_order,
    by_rank,
    seen_beyond_reports,
)
from webhook_app.pipeline.incidents.incident_store import IncidentStore
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.pipeline.incidents.notifications.incident_content import notification
from webhook_app.rules.incidents.announcements import (
    FALLBACK_CHANNEL,
    NotifiedState,
    channels_of_incident,
    notification_reason,
    rank,
    unnamed_channels,
)
from webhook_app.rules.incidents.findings.finding import DAY
from webhook_app.rules.incidents.findings.recurring import (
    DAYS_BACK,
    Occasion,
    find_recurring,
    is_clear_rise,
)
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

OPEN_DELAY = timedelta(seconds=20)
"""How long an incident gathers alerts before it is announced, so that what belongs together is announced together."""
MOST_EXAMINED = 20
"""Open incidents whose failures one evaluation searches for what they have in common. The next one goes on."""


class IncidentAnnouncements:
    """The notifications of one evaluation. `channels`: those that are set up."""

    def __init__(
        self,
        inputs: RuleInputs,
        store: IncidentStore,
        rules: Sequence[Rule],
        public_url: str,
        channels: Collection[str],
    ) -> None:
        self.added = 0
        self._inputs = inputs
        self._store = store
        self._now = inputs.now
        self._rules = {rule.name: rule for rule in rules}
        self._public_url = public_url
        self._channels = channels
        self._unnamed = unnamed_channels(rules, channels)
        self._examined = 0

    def ordered(
        self, incidents: Collection[Incident], members_of: Callable[[int], Sequence[Alert]]
    ) -> list[Incident]:
        """These open incidents in the order of their ids; more than can be examined at once as they are announced."""
        found = sorted(incidents, key=lambda each: each.id)
        if len(found) <= MOST_EXAMINED:
            return found
        known = self._inputs.known_numbers()
        return sorted(found, key=lambda each: announcing_order(each, members_of(each.id), known))

    def announce(self, incident: Incident, members: Sequence[Alert]) -> Incident:
        """Add notifications if there is a reason for them, and record them with the incident.

        A channel that was not notified yet, because only an alert that joined later names it, gets the opening.
        """
        if incident.is_open and self._examined >= MOST_EXAMINED:
            return incident if incident.title else with_title(incident, members)
        seen = seen_beyond_reports(members)
        confirmed = seen if incident.is_open and stored(incident).only_reported else ""
        if _is_risen(incident) or confirmed:
            incident = replace(incident, finding_id=None)
        reason = self._reason(incident, members, is_confirmed=bool(confirmed))
        if reason in ("fired", "again") and (recurring := self._recurring(incident, members)) is not None:
            incident, reason = recurring, None
        notified = stored(incident).channels
        channels = self._channels_for(incident, members, reason or "fired")
        is_announced = incident.notified_at and incident.silenced_by is None and incident.finding_id is None
        if reason is None and is_announced and incident.is_open:
            channels = [name for name in channels if name not in notified]
            reason = "fired" if channels else None
        is_over = incident.finding_id is not None and not incident.is_open
        if not (reason and channels) and incident.title and not is_over:
            return incident
        self._examined += incident.is_open
        incident = examine(self._inputs, incident, members)
        if not (reason and channels):
            return incident
        message = notification(incident, members, self._rules, reason, self._now, self._public_url)
        if reason == "escalated":
            message = replace(message, confirmed=confirmed)
        for channel in channels:
            self._store.notify(incident.id, channel, reason, message, self._now)
            self.added += 1
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

    def _recurring(self, incident: Incident, members: Sequence[Alert]) -> Incident | None:
        """The incident as a part of a recurring finding, if it comes back at this hour: nobody is notified of it."""
        if incident.account_wide:
            return None
        seen = seen_beyond_reports(members)
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

    def _reason(self, incident: Incident, members: Sequence[Alert], *, is_confirmed: bool) -> Reason | None:
        if incident.finding_id is not None and incident.ended_how != "chronic":
            return None
        if not incident.is_open:
            was_announced = incident.notified_at is not None and not _is_again(incident)
            return "resolved" if was_announced else None
        firing = [alert for alert in members if alert.state == "firing"]
        if incident.silenced_by is not None:
            return None
        if incident.notified_at is None or _is_again(incident):
            # What has left another incident has waited there.
            since = min((incident.opened_at, *(alert.fired_at for alert in firing if alert.fired_at)))
            waited = self._now - since >= OPEN_DELAY
            urgent = any(
                alert.kind == "attention" and rank(alert.severity) >= rank("critical") for alert in firing
            )
            above = any(alert.evaluations_above for alert in firing)
            if not above or not (waited or urgent):
                return None
            return "fired" if incident.notified_at is None else "again"
        leading = by_rank(firing)[0]
        rule = self._rules.get(leading.rule)
        state = _notified_state(incident, is_confirmed=is_confirmed, has_grown=stored(incident).has_grown)
        return None if rule is None else notification_reason(rule, state, self._now)

    def _channels_for(self, incident: Incident, members: Sequence[Alert], reason: Reason) -> list[str]:
        """The channels of the rules of its firing alerts; for the end, those that were notified of it."""
        if reason == "resolved":
            named = self._store.notified_channels(incident.id)
            return list(dict.fromkeys(name if name in self._channels else FALLBACK_CHANNEL for name in named))
        rules = {
            alert.rule: self._rules[alert.rule]
            for alert in members
            if alert.state == "firing" and alert.rule in self._rules
        }
        return channels_of_incident(rules.values(), incident.severity, self._unnamed, self._channels)


def _is_again(incident: Incident) -> bool:
    """Whether the incident opened again after its last notification."""
    return (
        bool(incident.again)
        and incident.last_notified_at is not None
        and (incident.last_notified_at < incident.opened_at)
    )


def _is_risen(incident: Incident) -> bool:
    """Whether clearly more fails than on the other days of the recurring finding that it belongs to."""
    usual = stored(incident).usual_failures
    belongs = incident.finding_id is not None and incident.is_open
    return belongs and is_clear_rise(incident.failures, usual)


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
