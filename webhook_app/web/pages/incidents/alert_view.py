"""An alert as the pages show it, in the words that channels use. Values in, values out: no queries, no HTML."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.alert_details import AlertDetails, notification, stored_details
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.formats import duration
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.explained_periods import ABOUT_FAILURES
from webhook_app.web.pages.incidents.alert_names import name_alert, who
from webhook_app.web.pages.wording import number, percent


class AlertView(Struct, frozen=True):
    """The alert, its notification as it would be sent now, and `facts` by the labels that channels use."""

    alert: Alert
    notification: Notification
    title: str
    facts: dict[str, str]

    @property
    def is_open(self) -> bool:
        return self.alert.state != "resolved"

    @property
    def counts_failures(self) -> bool:
        """Whether its severity is a share of messages; other kinds have a finding instead."""
        return self.notification.figures is not None

    @property
    def explains_failures(self) -> bool:
        """Whether its failures excuse contacts from suppression."""
        return self.alert.kind in ABOUT_FAILURES

    @property
    def how_bad(self) -> str:
        """The share of messages, or the finding, in one line."""
        alert = self.alert
        if not self.counts_failures:
            return self.notification.finding
        if not self.is_open and self.notification.peak_rate:
            return f"{percent(self.notification.peak_rate)} at its worst"
        if not alert.attempts:
            return f"{number(alert.failures)} failed in {alert.window_minutes} min"
        return f"{percent(alert.rate)} of {number(alert.attempts)} messages in {alert.window_minutes} min"

    @property
    def for_whom(self) -> str:
        """The group, and what most of its failures share; empty for everything."""
        return self.facts.get("For whom", "") if self.counts_failures else who(self.alert.group)

    @property
    def lasted(self) -> str:
        """How long it lasted, or has lasted so far."""
        return duration((self.alert.resolved_at or self.notification.at) - self.notification.since)

    @property
    def mute(self) -> str:
        """Why it is not notified; empty when it is."""
        match self.alert.muted_why if self.is_open else "":
            case "silence":
                return "a silence covers it"
            case "cause":
                return "another alert reports its cause"
            case "incident":
                return "another alert reports the same incident"
            case _:
                return ""


def view(alert: Alert, rules: Mapping[str, Rule], now: datetime) -> AlertView:
    """The alert as it is now."""
    known = stored_details(alert) if alert.explanation else AlertDetails(since=alert.started_at)
    reason = "resolved" if alert.state == "resolved" else "fired"
    sent = notification(alert, known, rules.get(alert.rule), reason, now, "")  # type: ignore[arg-type]
    return AlertView(alert, sent, name_alert(sent), dict(compose(sent).facts))


def worst_first(alerts: list[Alert]) -> list[Alert]:
    """Firing before pending, then by severity, then the oldest first."""
    return sorted(alerts, key=lambda a: (a.state != "firing", -rank(a.severity), a.started_at))
