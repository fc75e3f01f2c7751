"""An alert's timeline: state changes, notifications and what people did. Values in, values out."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.rules.incidents.formats import moment
from webhook_app.store.incidents.alert_history import SentNotification, UndoneBatch
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.pages.wording import CHANNELS

_SENT = {
    "fired": "Notified {}",
    "repeated": "Reminded {}",
    "escalated": "Sent escalation to {}",
    "resolved": "Sent resolve to {}",
}
_BY_PEOPLE = ("acknowledged", "snoozed")
_COUNTING = "the start of the first window above the threshold"


class AlertTimelineEntry(Struct, frozen=True):
    """One line. `kind`: change (of state), sent, unsent or done (by a person)."""

    at: datetime
    kind: str
    what: str
    detail: str = ""


def timeline(
    alert: Alert,
    notifications: Sequence[SentNotification],
    undone: Sequence[UndoneBatch] = (),
    silences: Sequence[Silence] = (),
) -> list[AlertTimelineEntry]:
    """The entries in time order."""
    entries = [*_state_changes(alert), *_actions(alert, notifications), *map(_undone, undone)]
    entries += filter(None, map(_notification, notifications))
    for silence in silences:
        detail = f"by {silence.author}, until {moment(silence.until)}"
        entries.append(AlertTimelineEntry(silence.since, "done", f"Silence {silence.id} began", detail))
        if silence.ended_at is not None:
            entries.append(
                AlertTimelineEntry(
                    silence.ended_at, "done", f"Silence {silence.id} was ended", f"by {silence.ended_by}"
                )
            )
    return sorted(entries, key=lambda entry: entry.at)


def _state_changes(alert: Alert) -> list[AlertTimelineEntry]:
    entries = [AlertTimelineEntry(alert.started_at, "change", "Pending", "seen for the first time")]
    if alert.covers_from < alert.started_at:
        entries.insert(
            0, AlertTimelineEntry(alert.covers_from, "change", "Failures counted from here", _COUNTING)
        )
    if alert.fired_at is not None:
        entries.append(AlertTimelineEntry(alert.fired_at, "change", "Firing", "seen often enough in a row"))
    if alert.resolved_at is not None:
        entries.append(
            AlertTimelineEntry(
                alert.resolved_at, "change", "Resolved", str(alert.explanation.get("reason", ""))
            )
        )
    return entries


def _actions(alert: Alert, notifications: Sequence[SentNotification]) -> list[AlertTimelineEntry]:
    """What people did. The alert knows only its last snooze; the outbox knows all that were notified."""
    acts = {(each.created_at, each.reason): each for each in notifications if each.reason in _BY_PEOPLE}
    entries = [
        AlertTimelineEntry(at, "done", f"Snoozed{_until(each)}", f"by {each.actor}")
        for (at, reason), each in acts.items()
        if reason == "snoozed"
    ]
    if alert.acknowledged_at is not None:
        entries.append(
            AlertTimelineEntry(alert.acknowledged_at, "done", "Acknowledged", f"by {alert.acknowledged_by}")
        )
    return entries


def _until(sent: SentNotification) -> str:
    return f" until {moment(sent.snoozed_until)}" if sent.snoozed_until else ""


def _notification(sent: SentNotification) -> AlertTimelineEntry | None:
    """One notification. Those of what people did are shown only when they failed."""
    by_people = sent.reason in _BY_PEOPLE
    channel = CHANNELS.get(sent.channel, sent.channel)
    if sent.sent_at is not None:
        detail = "" if sent.tries <= 1 else f"after {sent.tries} tries"
        words = _SENT.get(sent.reason, f"Sent {sent.reason} to {{}}").format(channel)
        return None if by_people else AlertTimelineEntry(sent.sent_at, "sent", words, detail)
    if sent.superseded_at is not None:
        return None
    if sent.failed_at is not None:
        instead = "; sent to another channel instead" if sent.rerouted_at else ""
        words = f"Notification to {channel} failed"
        return AlertTimelineEntry(sent.failed_at, "unsent", words, sent.last_error + instead)
    if by_people and not sent.last_error:
        return None
    words = f"Notification to {channel} waiting"
    return AlertTimelineEntry(sent.created_at, "unsent", words, sent.last_error or "not sent yet")


def _undone(undone: UndoneBatch) -> AlertTimelineEntry:
    what = f"Suppressions undone: {undone.lifted} lifted, {undone.changed} changed"
    return AlertTimelineEntry(undone.at, "done", what, f"by {undone.actor}")
