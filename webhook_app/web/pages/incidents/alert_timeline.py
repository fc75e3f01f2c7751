"""An alert's story as lines: its life, who was told and when, who did what. Values in, values out."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.spelling import moment
from webhook_app.store.incidents.alert_history import SentNotification, UndoneBatch
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.silences import Silence

_WHY = {
    "fired": "SentNotification",
    "repeated": "Reminded",
    "escalated": "Told that it is worse",
    "resolved": "Told that it is over",
}
_ACTS = {"acknowledged": "Acknowledged", "snoozed": "Snoozed"}
_COUNTING = "the start of the window in which they first were too many"


class AlertTimelineEntry(Struct, frozen=True):
    """One line. `kind`: life, told, missed (nobody got it) or done (by a person)."""

    at: datetime
    kind: str
    what: str
    detail: str = ""


def timeline(
    alert: Alert,
    told: Sequence[SentNotification],
    undone: Sequence[UndoneBatch] = (),
    silences: Sequence[Silence] = (),
) -> list[AlertTimelineEntry]:
    """What happened, in the order it did."""
    steps = [*_life(alert), *_acts(alert, told), *filter(None, map(_news, told)), *map(_undone, undone)]
    for silence in silences:
        detail = f"by {silence.author}, until {moment(silence.until)}"
        steps.append(AlertTimelineEntry(silence.since, "done", f"Silence {silence.id} began", detail))
        if silence.ended_at is not None:
            steps.append(
                AlertTimelineEntry(
                    silence.ended_at, "done", f"Silence {silence.id} was ended", f"by {silence.ended_by}"
                )
            )
    return sorted(steps, key=lambda step: step.at)


def _life(alert: Alert) -> list[AlertTimelineEntry]:
    steps = [AlertTimelineEntry(alert.started_at, "life", "Pending", "seen for the first time")]
    if alert.covers_from < alert.started_at:
        steps.insert(
            0, AlertTimelineEntry(alert.covers_from, "life", "Failures counted from here", _COUNTING)
        )
    if alert.fired_at is not None:
        steps.append(AlertTimelineEntry(alert.fired_at, "life", "Firing", "seen often enough in a row"))
    if alert.resolved_at is not None:
        steps.append(
            AlertTimelineEntry(
                alert.resolved_at, "life", "Resolved", str(alert.explanation.get("reason", ""))
            )
        )
    return steps


def _acts(alert: Alert, told: Sequence[SentNotification]) -> list[AlertTimelineEntry]:
    """What people did. The outbox tells of every snooze; the alert, of one that nobody was told of."""
    acts = {(each.created_at, each.reason): each for each in told if each.reason in _ACTS}
    steps = [
        AlertTimelineEntry(at, "done", f"Snoozed{_until(each)}", f"by {each.actor}")
        for (at, reason), each in acts.items()
        if reason == "snoozed"
    ]
    if alert.acknowledged_at is not None:
        steps.append(
            AlertTimelineEntry(alert.acknowledged_at, "done", "Acknowledged", f"by {alert.acknowledged_by}")
        )
    return steps


def _until(told: SentNotification) -> str:
    return f" until {moment(told.snoozed_until)}" if told.snoozed_until else ""


def _news(told: SentNotification) -> AlertTimelineEntry | None:
    """One notification; of what people did only what did not get through."""
    is_act = told.reason in _ACTS
    what = f"{_WHY.get(told.reason, _ACTS.get(told.reason, told.reason))} on {told.channel}"
    if told.sent_at is not None:
        detail = "" if told.tries <= 1 else f"after {told.tries} tries"
        return None if is_act else AlertTimelineEntry(told.sent_at, "told", what, detail)
    if told.superseded_at is not None:
        return None
    if told.failed_at is not None:
        instead = "; told on another channel instead" if told.rerouted_at else ""
        return AlertTimelineEntry(
            told.failed_at, "missed", f"Could not be told on {told.channel}", told.last_error + instead
        )
    if is_act and not told.last_error:
        return None
    return AlertTimelineEntry(
        told.created_at, "missed", f"To be told on {told.channel}", told.last_error or "not sent yet"
    )


def _undone(undone: UndoneBatch) -> AlertTimelineEntry:
    what = f"Suppressions undone: {undone.lifted} lifted, {undone.changed} changed"
    return AlertTimelineEntry(undone.at, "done", what, f"by {undone.actor}")
