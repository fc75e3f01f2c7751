"""An alert as the pages tell it, in the words channels use. Values in, values out: no queries, no HTML."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.alert_text import compose, describe_group
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incident import Explanation, notification, recall
from webhook_app.rules.alerting import Rule
from webhook_app.store.alerts import Alert
from webhook_app.store.overview import Told
from webhook_app.web.dashboard.wording import code_name

_ORDER = {"critical": 0, "error": 1, "warning": 2, "info": 3}
_WHY = {"fired": "Told", "repeated": "Reminded", "resolved": "Told that it is over"}


class AlertView(Struct, frozen=True):
    """The alert, everything known about it, and `facts` by the labels that channels give them."""

    alert: Alert
    told: Notification
    title: str
    facts: dict[str, str]

    @property
    def is_open(self) -> bool:
        return self.alert.state != "resolved"


class Step(Struct, frozen=True):
    """One line of an alert's story."""

    at: datetime
    what: str
    detail: str = ""


def view(alert: Alert, rules: Mapping[str, Rule], now: datetime) -> AlertView:
    """What to say about the alert at this moment."""
    known = recall(alert) if alert.explanation else Explanation(since=alert.started_at)
    reason = "resolved" if alert.state == "resolved" else "fired"
    told = notification(alert, known, rules.get(alert.rule), reason, now, "")  # type: ignore[arg-type]
    return AlertView(alert, told, _title(told), dict(compose(told).facts))


def worst_first(alerts: list[Alert]) -> list[Alert]:
    """Firing before pending, the severest first, then the oldest."""
    return sorted(alerts, key=lambda a: (a.state != "firing", _ORDER.get(a.severity, 9), a.started_at))


def timeline(alert: Alert, told: list[Told]) -> list[Step]:
    """What happened, in the order it did."""
    moments = [
        (alert.covers_from, "Failures counted from here", "the window in which they first were too many"),
        (alert.started_at, "Pending", "above the threshold for the first time"),
        (alert.fired_at, "Firing", "still above it"),
        (alert.acknowledged_at, "Acknowledged", f"by {alert.acknowledged_by}"),
        (alert.resolved_at, "Resolved", ""),
    ]
    steps = [Step(at, what, detail) for at, what, detail in moments if at is not None]
    return sorted([*steps, *map(_told, told)], key=lambda step: step.at)


def _told(told: Told) -> Step:
    what = f"{_WHY.get(told.reason, told.reason)} on {told.channel}"
    if told.sent_at is not None:
        return Step(told.sent_at, what, "" if told.tries <= 1 else f"after {told.tries} tries")
    if told.failed_at is not None:
        return Step(told.failed_at, f"Could not be told on {told.channel}", told.last_error)
    return Step(told.created_at, f"To be told on {told.channel}", told.last_error or "not sent yet")


def _title(told: Notification) -> str:
    leading = next(iter(told.codes), None)
    if leading is None:
        return f"Failures: {describe_group(told.group)}"
    name = f"{code_name(leading.code)} {leading.title}"
    group = {key: value for key, value in told.group.items() if key != "code"}
    return name if "code" in told.group else f"{describe_group(group).capitalize()}: mostly {name}"
