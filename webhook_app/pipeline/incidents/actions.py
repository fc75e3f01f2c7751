"""The actions of people on incidents and silences, from a page, the API or a button in Slack.

Runs in the caller's transaction. Every channel that was notified of the incident is notified of the action, with the
content of its latest notification.
"""

from datetime import datetime

from msgspec import convert, to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Notification, Reason
from webhook_app.rules.incidents.silences import matcher_fault
from webhook_app.store.incidents import incidents, outbox, silences
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.silences import Silence
from webhook_app.store.postgres.engine import Connection


def acknowledge(connection: Connection, incident_id: int, *, actor: str, now: datetime) -> Incident | None:
    """Acknowledge the incident, which stops reminders. The first name is kept. None if no such incident is open."""
    if not incidents.acknowledge(connection, incident_id, actor, now):
        return None
    incident = incidents.get(connection, incident_id)
    if incident is not None and incident.acknowledged_at == now:
        _notify(connection, incident, "acknowledged", actor, now)
    return incident


def snooze(
    connection: Connection, incident_id: int, *, until: datetime, actor: str, now: datetime
) -> Incident | None:
    """Stop reminders until `until`. None if no such incident is open."""
    if not incidents.snooze(connection, incident_id, until, actor):
        return None
    incident = incidents.get(connection, incident_id)
    if incident is not None:
        _notify(connection, incident, "snoozed", actor, now)
    return incident


def add_silence(
    connection: Connection,
    *,
    matchers: dict[str, str | int],
    author: str,
    until: datetime,
    comment: str,
    now: datetime,
) -> Silence:
    """Mute incidents whose alerts match, open or future, until `until`. ValueError names an invalid value."""
    if fault := matcher_fault(matchers):
        raise ValueError(fault)
    if until <= now:
        raise ValueError("until: must be in the future")
    return silences.add(connection, matchers=matchers, author=author, comment=comment, since=now, until=until)


def end_silence(connection: Connection, silence_id: int, *, actor: str, now: datetime) -> Silence | None:
    """End the silence early; one that has ended does not change. None if it does not exist."""
    return silences.end(connection, silence_id, actor, now)


def _notify(connection: Connection, incident: Incident, reason: Reason, actor: str, now: datetime) -> None:
    """Add one notification per channel. The caller's update has locked the incident, so sequence numbers are safe."""
    for channel, payload in outbox.latest_payloads(connection, incident.id).items():
        notification = convert(payload, Notification)
        notification = replace(
            notification,
            reason=reason,
            at=now,
            actor=actor,
            acknowledged_by=incident.acknowledged_by,
            acknowledged_at=incident.acknowledged_at,
            snoozed_until=incident.snoozed_until,
            undelivered=(),
        )
        outbox.add(connection, incident.id, channel, reason, to_builtins(notification), now)
