"""What people do about alerts, whoever they tell it to: a page, the API or a button in Slack.

Works in the caller's transaction. What is done to an alert is told to every channel that has heard of the alert, in
the words of its latest notification; a channel that has nothing to show for it takes it silently.
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
    """Somebody takes care of it: no more reminders. The first name stays. None when no such alert is open."""
    if not alerts.acknowledge(connection, alert_id, actor, now):
        return None
    alert = alerts.get_alert(connection, alert_id)
    if alert is not None and alert.acknowledged_at == now:
        _tell(connection, alert, "acknowledged", actor, now)
    return alert


def snooze(
    connection: Connection, alert_id: int, *, until: datetime, actor: str, now: datetime
) -> Alert | None:
    """No reminders before `until`. None when no such alert is open."""
    if not alerts.snooze(connection, alert_id, until, actor):
        return None
    alert = alerts.get_alert(connection, alert_id)
    if alert is not None:
        _tell(connection, alert, "snoozed", actor, now)
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
    """No news of matching alerts before `until`, be they open or to come. ValueError says what is wrong with it."""
    if fault := matcher_fault(matchers):
        raise ValueError(fault)
    if until <= now:
        raise ValueError("until: must lie in the future")
    return silences.add(connection, matchers=matchers, author=author, comment=comment, since=now, until=until)


def end_silence(connection: Connection, silence_id: int, *, actor: str, now: datetime) -> Silence | None:
    """End it before its time; one that is over stays as it is. None when there is none."""
    return silences.end(connection, silence_id, actor, now)


def _tell(connection: Connection, alert: Alert, reason: Reason, actor: str, now: datetime) -> None:
    """The alert's row is locked by the change before, so the sequence of its notifications is ours."""
    for channel, payload in outbox.latest_payloads(connection, alert.id).items():
        told = convert(payload, Notification)
        told = replace(
            told,
            reason=reason,
            at=now,
            actor=actor,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=alert.acknowledged_at,
            snoozed_until=alert.snoozed_until,
            undelivered=(),
        )
        outbox.add(connection, alert.id, channel, reason, to_builtins(told), now)
