"""Prometheus' Alertmanager by its API v2. It forgets what it is not told again, so it is told again.

https://prometheus.io/docs/alerting/latest/alerts_api/ (read 2026-11). An alert is known by its labels: they stay the
same from an incident's first message to its last, but for the severity, which routes go by.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.alert_text import compose, plain_text, title
from webhook_app.channels.http_client import TIMEOUT, HttpClient
from webhook_app.channels.notification import Notification

RESEND_S = 60.0
VALID_FOR = timedelta(minutes=10)
"""How long it fires without hearing of us: several resends may fail, and a scheduler may be replaced."""

_SEVERITIES = ("info", "warning", "error", "critical")


def _now() -> datetime:
    return datetime.now(UTC)


class Alertmanager:
    """Posts alerts to one Alertmanager; user and password may stand in its address."""

    name = "alertmanager"
    pace_s = 0.0
    resend_s = RESEND_S

    def __init__(
        self, url: str, timeout: httpx.Timeout = TIMEOUT, clock: Callable[[], datetime] = _now
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._clock = clock
        self._http = HttpClient("Alertmanager", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Return once Alertmanager has taken it. What people did with an alert is kept there in its own silences."""
        del earlier
        told = [alert_of(notification, self._clock())]
        if notification.reason in ("escalated", "resolved"):
            told += _ends_of_other_severities(notification)
        self._post(told)

    def resend(self, notifications: Sequence[Notification]) -> None:
        """Say that these go on."""
        now = self._clock()
        self._post([alert_of(notification, now) for notification in notifications])

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _post(self, alerts: Sequence[dict[str, Any]]) -> None:
        answer = self._http.post(self._url, msgspec.json.encode(alerts))
        if answer.status == httpx.codes.OK:
            return
        said = f"Alertmanager answered {answer.status} {answer.excerpt!r}"
        refused = answer.status == httpx.codes.BAD_REQUEST
        raise SendError(said, permanent=refused, retry_after=answer.retry_after, of_message=refused)


def alert_of(notification: Notification, now: datetime) -> dict[str, Any]:
    """The alert as Alertmanager wants it; it ends when it was resolved, or some minutes after `now`."""
    message = compose(notification)
    annotations = {
        "summary": message.headline,
        "description": plain_text(message),
        "alert_id": str(notification.alert_id),
    }
    if notification.runbook:
        annotations["runbook_url"] = notification.runbook
    ended = notification.reason == "resolved"
    told = {
        "labels": _labels(notification),
        "annotations": annotations,
        "startsAt": notification.since.isoformat(),
        "endsAt": ((notification.resolved_at or notification.at) if ended else now + VALID_FOR).isoformat(),
    }
    return told | ({"generatorURL": notification.link} if notification.link else {})


def _labels(notification: Notification) -> dict[str, str]:
    """Alertmanager drops empty labels, so an absent value is told as a word."""
    group = {key: str(value) or "none" for key, value in notification.group.items()}
    return group | {
        "alertname": notification.rule,
        "service": "webhook_app",
        "kind": notification.kind,
        "severity": notification.severity,
        "title": title(notification),
    }


def _ends_of_other_severities(notification: Notification) -> list[dict[str, Any]]:
    """It may stand there under another severity: that one is over."""
    ended = {"endsAt": notification.at.isoformat()}
    return [
        alert_of(notification, notification.at)
        | ended
        | {"labels": _labels(notification) | {"severity": other}}
        for other in _SEVERITIES
        if other != notification.severity
    ]
