"""Prometheus' Alertmanager by its API v2. It drops alerts that are not sent again, so firing ones are resent.

https://prometheus.io/docs/alerting/latest/alerts_api/ (read 2026-11). Alertmanager identifies an alert by its labels.
The receipt keeps the labels and start of what was sent, so that every later message is about the same alert: an end
ends exactly that, and nothing is sent after it unless the incident opens again, which is a new start. Only a higher
severity, by which routes choose, makes a new alert.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpClient
from webhook_app.channels.incident_text import compose, plain_text
from webhook_app.channels.notification import Notification

RESEND_S = 60.0
VALID_FOR = timedelta(minutes=10)
"""How long an alert fires without being sent again: several resends may fail, and a scheduler may be replaced."""

_SEVERITIES = ("info", "warning", "error", "critical")


class _SentAlert(Struct, frozen=True):
    """What Alertmanager has of an alert; stored in the receipt."""

    labels: dict[str, str]
    starts_at: str
    ended: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


class Alertmanager:
    """One Alertmanager. Its address may contain user and password."""

    name = "alertmanager"
    pace_s = 0.0
    resend_s = RESEND_S

    def __init__(
        self, url: str, timeout: httpx.Timeout = TIMEOUT, clock: Callable[[], datetime] = _now
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._clock = clock
        self._http = HttpClient("Alertmanager", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Post the incident as firing or ended; one that is past is not posted. Raises SendError."""
        sent = _read(earlier)
        if sent is not None and sent.ended:
            if notification.reason != "again":
                return None
            sent = None
        if notification.is_over:
            ended = _SentAlert({}, "", ended=True) if sent is None else replace(sent, ended=True)
            if sent is not None:
                self._post([_alert(notification, sent, notification.resolved_at or notification.at)])
            return _receipt(ended)
        firing = _firing(notification, sent)
        posted = [_alert(notification, firing, self._clock() + VALID_FOR)]
        if sent is not None and sent.labels != firing.labels:
            posted.append(_alert(notification, sent, notification.at))
        self._post(posted)
        return _receipt(firing)

    def resend(self, notifications: Sequence[Notification], earlier: Sequence[Receipt | None]) -> None:
        """Post firing alerts again, unless they were never sent or have ended."""
        end = self._clock() + VALID_FOR
        known = [(each, _read(receipt)) for each, receipt in zip(notifications, earlier, strict=True)]
        posted = [_alert(each, sent, end) for each, sent in known if sent is not None and not sent.ended]
        if posted:
            self._post(posted)

    def _post(self, alerts: Sequence[dict[str, Any]]) -> None:
        answer = self._http.post(self._url, msgspec.json.encode(alerts))
        if answer.status == httpx.codes.OK:
            return
        text = f"Alertmanager answered {answer.status} {answer.excerpt!r}"
        refused = answer.status == httpx.codes.BAD_REQUEST
        raise SendError(text, permanent=refused, retry_after=answer.retry_after, of_message=refused)


def _firing(notification: Notification, sent: _SentAlert | None) -> _SentAlert:
    """The alert to send: the one sent before, with a severity that never falls."""
    if sent is None:
        start = notification.at if notification.reason == "again" else notification.since
        return _SentAlert(_labels(notification), start.isoformat())
    severity = max(sent.labels["severity"], notification.severity, key=_SEVERITIES.index)
    return replace(sent, labels=sent.labels | {"severity": severity})


def _alert(notification: Notification, sent: _SentAlert, ends_at: datetime) -> dict[str, Any]:
    if not notification.is_over:  # annotations describe the alert, not the reason for this message
        notification = replace(notification, reason="fired", severity=sent.labels["severity"])
    message = compose(notification)
    annotations = {
        "summary": message.headline,
        "description": plain_text(message),
        "incident_id": str(notification.incident_id),
    }
    if notification.runbook:
        annotations["runbook_url"] = notification.runbook
    alert = {
        "labels": sent.labels,
        "annotations": annotations,
        "startsAt": sent.starts_at,
        "endsAt": ends_at.isoformat(),
    }
    return alert | ({"generatorURL": notification.link} if notification.link else {})


def _labels(notification: Notification) -> dict[str, str]:
    """The labels. An absent value is "none", since Alertmanager drops empty labels."""
    group = {key: str(value) or "none" for key, value in notification.group.items()}
    return group | {
        "alertname": notification.rule,
        "service": "webhook_app",
        "kind": notification.kind,
        "severity": notification.severity,
        "title": notification.title,
    }


def _read(receipt: Receipt | None) -> _SentAlert | None:
    return msgspec.json.decode(receipt.reference, type=_SentAlert) if receipt else None


def _receipt(sent: _SentAlert) -> Receipt:
    return Receipt(msgspec.json.encode(sent).decode())
