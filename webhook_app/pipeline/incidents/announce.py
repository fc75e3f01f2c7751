"""After the alerts have moved: what mutes whom, what is told and where; then everything is written.

A silence mutes the alerts that match it; another alert mutes those with the same cause (rules/incidents/muting.py).
The end of a notified alert is always notified.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Reason
from webhook_app.pipeline.incidents.alert_details import examine, notification, renew
from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.rules.incidents.alerts import Transition
from webhook_app.rules.incidents.announcements import NotifiedState, channels_for, reason_to_tell
from webhook_app.rules.incidents.muting import LINGER, Mute, OpenAlert, muted
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents import alerts, outbox, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection

FALLBACK_CHANNEL = "log"
"""Told in place of channels that are not set up."""

_OTHERS_NAMED = 5


class Announcer:
    """One evaluation's announcements."""

    def __init__(
        self, connection: Connection, now: datetime, public_url: str, channels: Collection[str]
    ) -> None:
        self._connection = connection
        self._now = now
        self._public_url = public_url
        self._channels = channels
        self._told = 0

    def announce(self, moved: Sequence[AlertChange]) -> int:
        """Decide, tell and write all of it; returns how many notifications were put into the outbox."""
        quiet = silences.active(self._connection, self._now) if moved else []
        mutes = self._mutes(moved)
        led: dict[int, list[Alert]] = {}
        by_id = {each.alert.id: each.alert for each in moved}
        for alert_id, mute in mutes.items():
            led.setdefault(mute.by, []).append(by_id[alert_id])
        for each in moved:
            silence = next((s for s in quiet if is_silenced(s.matchers, _facts(each.alert))), None)
            cause = mutes.get(each.alert.id)
            if silence is not None:
                each.alert = replace(each.alert, muted_by=silence.id, muted_why="silence")
            elif cause is not None:
                each.alert = replace(each.alert, muted_by=cause.by, muted_why=cause.why)
            else:
                each.alert = replace(each.alert, muted_by=None, muted_why="")
            self._settle(each, led.get(each.alert.id, []))
        alerts.save_all(self._connection, [each.alert for each in moved])
        return self._told

    def _mutes(self, moved: Sequence[AlertChange]) -> dict[int, Mute]:
        """Among what fires now and what ended a moment ago."""
        if not any(each.alert.state == "firing" for each in moved):
            return {}
        ids = {each.alert.id for each in moved}
        ended = [
            alert for alert in alerts.ended_since(self._connection, self._now - LINGER) if alert.id not in ids
        ]
        fired = [each.alert for each in moved if each.alert.fired_at is not None]
        wide = {each.alert.id for each in moved if each.case is not None and each.case.account_wide}
        return muted([_standing(alert, alert.id in wide) for alert in (*fired, *ended)], self._now)

    def _settle(self, moved: AlertChange, led: Sequence[Alert]) -> None:
        """Tell of the alert if there is a reason to, and remember that it was told."""
        alert = moved.alert
        reason: Reason | None = None
        if alert.state == "resolved":
            reason = "resolved" if alert.notified_at is not None else None
        elif alert.state == "firing" and moved.case is not None:
            reason = reason_to_tell(moved.case.rule, _told(alert), self._now)
        if moved.case is not None and (
            moved.transition is Transition.FIRE or reason not in (None, "resolved")
        ):
            found = examine(self._connection, moved.case, alert, self._now)
            moved.explanation = renew(moved.explanation, found)
        if led:
            moved.explanation = replace(moved.explanation, others=len(led), other_groups=_named(led))
        if reason is not None:
            alert = replace(
                alert,
                notified_at=self._now,
                notified_severity=alert.severity,
                repeats=alert.repeats + (reason == "repeated"),
            )
        moved.alert = replace(alert, explanation=to_builtins(moved.explanation))
        if reason is not None:
            self._tell(moved, reason)

    def _tell(self, moved: AlertChange, reason: Reason) -> None:
        """One row of the outbox for each channel: the rule's, and at the end whoever has heard of the alert."""
        alert, rule = moved.alert, moved.case.rule if moved.case else None
        if rule is not None and reason != "resolved":
            named: Sequence[str] = channels_for(rule, alert.severity)
        else:
            named = outbox.channels_told(self._connection, alert.id)
        wanted = [name if name in self._channels else FALLBACK_CHANNEL for name in named]
        told = notification(alert, moved.explanation, rule, reason, self._now, self._public_url)
        for channel in dict.fromkeys(wanted):
            outbox.add(self._connection, alert.id, channel, reason, to_builtins(told), self._now)
            self._told += 1


def _named(led: Sequence[Alert]) -> tuple[dict[str, str | int], ...]:
    """The groups of the worst of them, each once."""
    worst = sorted(led, key=lambda alert: (-alert.failures, alert.id))
    groups = {alert.group_key: alert.group for alert in worst}
    return tuple(groups.values())[:_OTHERS_NAMED]


def _facts(alert: Alert) -> dict[str, str | int]:
    return {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity} | alert.group


def _told(alert: Alert) -> NotifiedState:
    return NotifiedState(
        severity=alert.severity,
        notified_severity=alert.notified_severity,
        notified_at=alert.notified_at,
        repeats=alert.repeats,
        acknowledged=alert.acknowledged_at is not None,
        snoozed_until=alert.snoozed_until,
        muted=alert.muted_by is not None,
    )


def _standing(alert: Alert, account_wide: bool) -> OpenAlert:
    code = alert.group.get("code")
    return OpenAlert(
        id=alert.id,
        rule=alert.rule,
        kind=alert.kind,
        severity=alert.severity,
        group=alert.group,
        code=int(code) if code is not None else next(iter(alert.codes), None),
        fired_at=alert.fired_at or alert.started_at,
        resolved_at=alert.resolved_at,
        told=alert.notified_at is not None,
        failures=alert.failures,
        account_wide=account_wide,
    )
