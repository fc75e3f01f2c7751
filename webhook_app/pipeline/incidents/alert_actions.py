"""The actions of people on alerts and silences, from a page, the API or a button in Slack.

Runs in the caller's transaction. Every channel that was notified of the alert is notified of the action, with the
content of its latest notification.
"""

from datetime import datetime

from msgspec import convert, to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Notification, Reason
from webhook_app.rules.incidents.silences import matcher_fault
from webhook_app.store.incidents import alerts, outbox, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.silences import Silence
from webhook_app.store.postgres.engine import Connection


def acknowledge(connection: Connection, alert_id: int, *, actor: str, now: datetime) -> Alert | None:
    """Acknowledge the alert, which stops reminders. The first name is kept. None if no such alert is open."""
    if not alerts.acknowledge(connection, alert_id, actor, now):
        return None
    alert = alerts.get_alert(connection, alert_id)
    if alert is not None and alert.acknowledged_at == now:
        _notify(connection, alert, "acknowledged", actor, now)
    return alert


def snooze(
    connection: Connection, alert_id: int, *, until: datetime, actor: str, now: datetime
) -> Alert | None:
    """Stop reminders until `until`. None if no such alert is open."""
    if not alerts.snooze(connection, alert_id, until, actor):
        return None
    alert = alerts.get_alert(connection, alert_id)
    if alert is not None:
        _notify(connection, alert, "snoozed", actor, now)
    return alert


def add_silence(
    connection: Connection,
    *,
    matchers: dict[str, str | int],
    author: str,
    until: datetime,
    comment: str,
    now: datetime,
) -> Silence:
    """Mute notifications of matching alerts, open or future, until `until`. ValueError names an invalid value."""
    if fault := matcher_fault(matchers):
        raise ValueError(fault)
    if until <= now:
        raise ValueError("until: must be in the future")
    return silences.add(connection, matchers=matchers, author=author, comment=comment, since=now, until=until)


def end_silence(connection: Connection, silence_id: int, *, actor: str, now: datetime) -> Silence | None:
    """End the silence early; one that has ended does not change. None if it does not exist."""
    return silences.end(connection, silence_id, actor, now)


def _notify(connection: Connection, alert: Alert, reason: Reason, actor: str, now: datetime) -> None:
    """Add one notification per channel. The caller's update has locked the alert, so sequence numbers are safe."""
    for channel, payload in outbox.latest_payloads(connection, alert.id).items():
        notification = convert(payload, Notification)
        notification = replace(
            notification,
            reason=reason,
            at=now,
            actor=actor,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=alert.acknowledged_at,
            snoozed_until=alert.snoozed_until,
            undelivered=(),
        )
        outbox.add(connection, alert.id, channel, reason, to_builtins(notification), now)
