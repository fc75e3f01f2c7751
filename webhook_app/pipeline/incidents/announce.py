"""Decides mutes and notifications after all alerts were evaluated, then writes alerts and outbox.

A silence mutes the alerts that match it; an alert mutes others with the same cause (rules/incidents/muting.py).
The end of a notified alert is always notified.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.channels.notification import Reason
from webhook_app.pipeline.incidents.alert_details import gather, merge, notification
from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.rules.incidents.alerts import Rule, Transition
from webhook_app.rules.incidents.announcements import (
    FALLBACK_CHANNEL,
    NotifiedState,
    channels_for,
    notification_reason,
    unnamed_channels,
)
from webhook_app.rules.incidents.muting import MUTES_AFTER_END, Mute, OpenAlert, find_mutes
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents import alerts, outbox, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection

_MAX_OTHERS = 5


class Announcer:
    """The notifications of one evaluation. `channels`: those that are set up."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        public_url: str,
        rules: Sequence[Rule],
        channels: Collection[str],
    ) -> None:
        self._connection = connection
        self._now = now
        self._public_url = public_url
        self._channels = channels
        self._unnamed = unnamed_channels(rules, channels)
        self._added = 0

    def announce(self, changes: Sequence[AlertChange]) -> int:
        """Decide on and write everything; returns the number of notifications added to the outbox."""
        active = silences.active(self._connection, self._now) if changes else []
        mutes = self._mutes(changes)
        muted_by: dict[int, list[Alert]] = {}
        by_id = {each.alert.id: each.alert for each in changes}
        for alert_id, mute in mutes.items():
            muted_by.setdefault(mute.by, []).append(by_id[alert_id])
        for each in changes:
            silence = next((s for s in active if is_silenced(s.matchers, _silence_facts(each.alert))), None)
            mute_of = mutes.get(each.alert.id)
            if silence is not None:
                each.alert = replace(each.alert, muted_by=silence.id, muted_why="silence")
            elif mute_of is not None:
                each.alert = replace(each.alert, muted_by=mute_of.by, muted_why=mute_of.why)
            else:
                each.alert = replace(each.alert, muted_by=None, muted_why="")
            self._decide(each, muted_by.get(each.alert.id, []))
        alerts.save_all(self._connection, [each.alert for each in changes])
        return self._added

    def _mutes(self, changes: Sequence[AlertChange]) -> dict[int, Mute]:
        """The mutes among the alerts that fire now and those that resolved a moment ago."""
        if not any(each.alert.state == "firing" for each in changes):
            return {}
        ids = {each.alert.id for each in changes}
        just_before = self._now - MUTES_AFTER_END
        ended = [a for a in alerts.ended_since(self._connection, just_before) if a.id not in ids]
        fired = [each.alert for each in changes if each.alert.fired_at is not None]
        wide = {each.alert.id for each in changes if each.rule_group and each.rule_group.account_wide}
        return find_mutes([_open_alert(alert, alert.id in wide) for alert in (*fired, *ended)], self._now)

    def _decide(self, change: AlertChange, muted: Sequence[Alert]) -> None:
        """Add notifications if there is a reason for them, and record them with the alert."""
        alert, reason = change.alert, self._reason(change)
        is_firing_now = change.transition is Transition.FIRE
        if change.rule_group is not None and (is_firing_now or reason not in (None, "resolved")):
            found = gather(self._connection, change.rule_group, alert, self._now)
            change.explanation = merge(change.explanation, found, is_firing_now=is_firing_now)
        if muted:
            change.explanation = replace(
                change.explanation, others=len(muted), other_groups=_groups_of(muted)
            )
        if reason is not None:
            alert = replace(
                alert,
                notified_at=self._now,
                notified_severity=alert.severity,
                repeats=alert.repeats + (reason == "repeated"),
            )
        change.alert = replace(alert, explanation=to_builtins(change.explanation))
        if reason is not None:
            self._add(change, reason)

    def _reason(self, change: AlertChange) -> Reason | None:
        alert = change.alert
        if alert.state == "resolved":
            return "resolved" if alert.notified_at is not None else None
        if alert.state == "firing" and change.rule_group is not None:
            return notification_reason(change.rule_group.rule, _notified_state(alert), self._now)
        return None

    def _add(self, change: AlertChange, reason: Reason) -> None:
        """Add one row per channel: the rule's and unnamed ones, or for the end all channels that were notified."""
        alert, rule = change.alert, change.rule_group.rule if change.rule_group else None
        if rule is not None and reason != "resolved":
            named: Sequence[str] = channels_for(rule, alert.severity)
            named = (*named, *self._unnamed) if named else ()
        else:
            named = outbox.channels_of(self._connection, alert.id)
        channels = [name if name in self._channels else FALLBACK_CHANNEL for name in named]
        message = notification(alert, change.explanation, rule, reason, self._now, self._public_url)
        for channel in dict.fromkeys(channels):
            outbox.add(self._connection, alert.id, channel, reason, to_builtins(message), self._now)
            self._added += 1


def _groups_of(muted: Sequence[Alert]) -> tuple[dict[str, str | int], ...]:
    """The distinct groups of these alerts, most failures first."""
    worst = sorted(muted, key=lambda alert: (-alert.failures, alert.id))
    groups = {alert.group_key: alert.group for alert in worst}
    return tuple(groups.values())[:_MAX_OTHERS]


def _silence_facts(alert: Alert) -> dict[str, str | int]:
    return {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity} | alert.group


def _notified_state(alert: Alert) -> NotifiedState:
    return NotifiedState(
        severity=alert.severity,
        notified_severity=alert.notified_severity,
        notified_at=alert.notified_at,
        repeats=alert.repeats,
        acknowledged=alert.acknowledged_at is not None,
        snoozed_until=alert.snoozed_until,
        muted=alert.muted_by is not None,
    )


def _open_alert(alert: Alert, account_wide: bool) -> OpenAlert:
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
        notified=alert.notified_at is not None,
        failures=alert.failures,
        account_wide=account_wide,
    )
