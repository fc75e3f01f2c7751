"""An incident's timeline: beginning and end, alerts that joined, notifications, what people did. Values only."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.rules.incidents.formats import moment
from webhook_app.store.incidents.incident_history import SentNotification, UndoneBatch
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.pages.incidents.alert_view import AlertView
from webhook_app.web.pages.incidents.incident_view import IncidentView
from webhook_app.web.pages.wording import CHANNELS

_SENT = {
    "fired": "Notified {}",
    "again": "Notified {} again",
    "repeated": "Reminded {}",
    "escalated": "Sent escalation to {}",
    "resolved": "Sent resolve to {}",
    "past": "Notified {} of a past incident",
}
_BY_PEOPLE = ("acknowledged", "snoozed")


class IncidentEvent(Struct, frozen=True):
    """One line. `kind`: state, joined (alerts), sent, unsent or done (by a person)."""

    at: datetime
    kind: str
    what: str
    detail: str = ""


def timeline(
    shown: IncidentView,
    notifications: Sequence[SentNotification],
    undone: Sequence[UndoneBatch] = (),
    silence: Silence | None = None,
) -> list[IncidentEvent]:
    """The entries in time order."""
    entries = [
        *_states(shown),
        *_joined(shown.alerts),
        *_actions(shown, notifications),
        *map(_undone, undone),
    ]
    entries += filter(None, map(_notification, notifications))
    if silence is not None:
        detail = f"by {silence.author}, until {moment(silence.until)}"
        entries.append(IncidentEvent(silence.since, "done", f"Silence {silence.id} began", detail))
    return sorted(entries, key=lambda entry: entry.at)


def _states(shown: IncidentView) -> list[IncidentEvent]:
    incident = shown.incident
    began = "First failure" if shown.counts_failures else "Began"
    entries = [
        IncidentEvent(incident.began_at, "state", began),
        IncidentEvent(shown.first_opened_at, "state", "Incident opened"),
    ]
    if incident.opened_at != shown.first_opened_at:
        entries.append(IncidentEvent(incident.opened_at, "state", "Opened again"))
    if incident.worst_at is not None and incident.worst_at > shown.first_opened_at:
        entries.append(IncidentEvent(incident.worst_at, "state", "Highest failure rate", shown.worst))
    if incident.ended_at is not None:
        entries.append(IncidentEvent(incident.ended_at, "state", "Incident ended", shown.ending))
    return entries


def _joined(members: Sequence[AlertView]) -> list[IncidentEvent]:
    """One entry for the alerts that fired in the same minute."""
    by_minute: dict[datetime, list[AlertView]] = {}
    for member in members:
        at = member.alert.fired_at or member.alert.started_at
        by_minute.setdefault(at.replace(second=0, microsecond=0), []).append(member)
    entries = []
    for fired in by_minute.values():
        at = min(each.alert.fired_at or each.alert.started_at for each in fired)
        rules = ", ".join(dict.fromkeys(each.alert.rule for each in fired))
        what = "1 alert fired" if len(fired) == 1 else f"{len(fired)} alerts fired"
        entries.append(IncidentEvent(at, "joined", what, rules))
    return entries


def _actions(shown: IncidentView, notifications: Sequence[SentNotification]) -> list[IncidentEvent]:
    """What people did. The incident knows only its last snooze; the outbox knows all that were notified."""
    incident = shown.incident
    acts = {(each.created_at, each.reason): each for each in notifications if each.reason in _BY_PEOPLE}
    entries = [
        IncidentEvent(at, "done", f"Snoozed{_until(each)}", f"by {each.actor}")
        for (at, reason), each in acts.items()
        if reason == "snoozed"
    ]
    if incident.acknowledged_at is not None:
        by = f"by {incident.acknowledged_by}"
        entries.append(IncidentEvent(incident.acknowledged_at, "done", "Acknowledged", by))
    return entries


def _until(sent: SentNotification) -> str:
    return f" until {moment(sent.snoozed_until)}" if sent.snoozed_until else ""


def _notification(sent: SentNotification) -> IncidentEvent | None:
    """One notification. Those of what people did are shown only when they failed."""
    by_people = sent.reason in _BY_PEOPLE
    channel = CHANNELS.get(sent.channel, sent.channel)
    if sent.sent_at is not None:
        detail = "" if sent.tries <= 1 else f"after {sent.tries} tries"
        words = _SENT.get(sent.reason, f"Sent {sent.reason} to {{}}").format(channel)
        return None if by_people else IncidentEvent(sent.sent_at, "sent", words, detail)
    if sent.superseded_at is not None:
        return None
    if sent.failed_at is not None:
        instead = "; sent to another channel instead" if sent.rerouted_at else ""
        words = f"Notification to {channel} failed"
        return IncidentEvent(sent.failed_at, "unsent", words, sent.last_error + instead)
    if by_people and not sent.last_error:
        return None
    words = f"Notification to {channel} waiting"
    return IncidentEvent(sent.created_at, "unsent", words, sent.last_error or "not sent yet")


def _undone(undone: UndoneBatch) -> IncidentEvent:
    what = f"Suppressions undone: {undone.lifted} lifted, {undone.changed} changed"
    return IncidentEvent(undone.at, "done", what, f"by {undone.actor}")
