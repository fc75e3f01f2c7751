"""An alert as the pages show it: its name, figures and group in words. Values in, values out: no queries, no HTML."""

from datetime import datetime

from msgspec import Struct

from webhook_app.channels.descriptions import describe_figures
from webhook_app.channels.notification import Figures
from webhook_app.pipeline.incidents.details.alert_details import AlertDetails, measure_of, stored_details
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.formats import duration, window_length
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS
from webhook_app.store.incidents.alerts import Alert
from webhook_app.web.pages.incidents.alert_names import name_alert, who
from webhook_app.web.pages.wording import number, percent


class AlertView(Struct, frozen=True):
    """The alert with its details and its name."""

    alert: Alert
    details: AlertDetails
    title: str

    @property
    def is_open(self) -> bool:
        return self.alert.state != "resolved"

    @property
    def counts_failures(self) -> bool:
        """Whether it is about a share of messages; other kinds have a finding instead."""
        return self.alert.kind in COUNTING_KINDS

    @property
    def impact(self) -> str:
        """The share of messages, or the finding, in one line."""
        alert = self.alert
        if not self.counts_failures:
            return self.details.finding
        if not self.is_open and self.details.peak_rate:
            return f"{percent(self.details.peak_rate)} at its worst"
        if not alert.attempts:
            return f"{number(alert.failures)} failed in {window_length(alert.window_minutes)}"
        return f"{percent(alert.rate)} of {number(alert.attempts)} messages in {window_length(alert.window_minutes)}"

    @property
    def figures(self) -> str:
        """The figures of the last evaluation in words; empty for kinds that count no failures."""
        if not self.counts_failures:
            return ""
        figures = Figures(**{name: getattr(self.alert, name) for name in Figures.__struct_fields__})
        return describe_figures(figures, measure=measure_of(self.alert))

    @property
    def for_whom(self) -> str:
        """The group in words; empty for everything."""
        return who(self.alert.group)

    def lasted(self, now: datetime) -> str:
        """How long it lasted, or has lasted so far."""
        return duration((self.alert.resolved_at or now) - self.alert.started_at)


def view(alert: Alert) -> AlertView:
    """The alert as it is now."""
    details = stored_details(alert) if alert.explanation else AlertDetails(since=alert.started_at)
    return AlertView(alert, details, name_alert(alert))


def worst_first(alerts: list[Alert]) -> list[Alert]:
    """Firing before pending, then by severity, then the oldest first."""
    return sorted(alerts, key=lambda a: (a.state != "firing", -rank(a.severity), a.started_at))
