"""An alert as the pages tell it, in the words channels use. Values in, values out: no queries, no HTML."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.alert_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.channels.spelling import duration
from webhook_app.pipeline.incidents.alert_details import AlertDetails, notification, recall
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.announcements import rank
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.explained_periods import ABOUT_FAILURES
from webhook_app.web.pages.incidents.alert_names import name_alert, who
from webhook_app.web.pages.wording import number, percent


class AlertView(Struct, frozen=True):
    """The alert, everything known about it, and `facts` by the labels that channels give them."""

    alert: Alert
    told: Notification
    title: str
    facts: dict[str, str]

    @property
    def is_open(self) -> bool:
        return self.alert.state != "resolved"

    @property
    def counts_failures(self) -> bool:
        """Whether a share of messages tells how bad it is; for other kinds `found` does."""
        return self.told.figures is not None

    @property
    def explains_failures(self) -> bool:
        """Whether suppressions may rest on its failures."""
        return self.alert.kind in ABOUT_FAILURES

    @property
    def how_bad(self) -> str:
        """In one line: the share, or what was found."""
        alert = self.alert
        if not self.counts_failures:
            return self.told.finding
        if not self.is_open and self.told.peak_rate:
            return f"{percent(self.told.peak_rate)} at its worst"
        if not alert.attempts:
            return f"{number(alert.failures)} failed in {alert.window_minutes} min"
        return f"{percent(alert.rate)} of {number(alert.attempts)} messages in {alert.window_minutes} min"

    @property
    def for_whom(self) -> str:
        """The group, and what most of its failures share; empty when it is about everything."""
        return self.facts.get("For whom", "") if self.counts_failures else who(self.alert.group)

    @property
    def lasted(self) -> str:
        """How long it went on, or goes on."""
        return duration((self.alert.resolved_at or self.told.at) - self.told.since)

    @property
    def mute(self) -> str:
        """Why nobody is told; empty when people are."""
        match self.alert.muted_why if self.is_open else "":
            case "silence":
                return "a silence covers it"
            case "cause":
                return "another alert tells of what brings it about"
            case "incident":
                return "another alert tells of the same incident"
            case _:
                return ""


def view(alert: Alert, rules: Mapping[str, Rule], now: datetime) -> AlertView:
    """What to say about the alert at this moment."""
    known = recall(alert) if alert.explanation else AlertDetails(since=alert.started_at)
    reason = "resolved" if alert.state == "resolved" else "fired"
    told = notification(alert, known, rules.get(alert.rule), reason, now, "")  # type: ignore[arg-type]
    return AlertView(alert, told, name_alert(told), dict(compose(told).facts))


def worst_first(alerts: list[Alert]) -> list[Alert]:
    """Firing before pending, the severest first, then the oldest."""
    return sorted(alerts, key=lambda a: (a.state != "firing", -rank(a.severity), a.started_at))
