"""PagerDuty by its Events API v2: an incident here triggers, acknowledges and resolves one there, by its dedup key.

https://developer.pagerduty.com/docs/events-api-v2-overview (read 2026-11).
"""

from hashlib import sha256
from typing import Any

import httpx
import msgspec

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpAnswer, HttpClient
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification

EVENTS_URL = "https://events.pagerduty.com"

_ACTIONS = {
    "fired": "trigger",
    "again": "trigger",
    "repeated": "trigger",
    "escalated": "trigger",
    "acknowledged": "acknowledge",
    "snoozed": "acknowledge",  # the API has no snooze, and acknowledging stops escalation to the next person
    "resolved": "resolve",
    "past": "resolve",  # a resolve without a trigger pages nobody
}
_SEVERITIES = ("info", "warning", "error", "critical")
_RESOLVED = Receipt("resolved")
_SUMMARY_LENGTH = 1024
_FACT_LENGTH = 2000
_PERMANENT = {400: "the event or the routing key is invalid", 404: "the address does not exist"}


class PagerDuty:
    """One PagerDuty integration. Its routing key is a secret."""

    name = "pagerduty"
    pace_s = 0.0

    def __init__(
        self, routing_key: str, events_url: str = EVENTS_URL, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        self._routing_key = routing_key
        self._url = f"{events_url.rstrip('/')}/v2/enqueue"
        self._http = HttpClient("PagerDuty", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Send the event, unless the incident was resolved: a late one would open another. Raises SendError."""
        again = notification.reason == "again"
        if earlier == _RESOLVED and not again:
            return None
        event = event_of(notification) | {"routing_key": self._routing_key}
        _check_answer(self._http.post(self._url, msgspec.json.encode(event)))
        if notification.reason == "resolved":
            return _RESOLVED
        return Receipt("triggered") if again else None


def event_of(notification: Notification) -> dict[str, Any]:
    """The event without the routing key."""
    event: dict[str, Any] = {
        "event_action": _ACTIONS[notification.reason],
        "dedup_key": dedup_key(notification),
    }
    if event["event_action"] != "trigger":
        return event
    message = compose(notification)
    severity = notification.severity if notification.severity in _SEVERITIES else "error"
    event["payload"] = {
        "summary": message.headline[:_SUMMARY_LENGTH],
        "source": str(notification.group.get("phone_number_id") or "webhook_app"),
        "severity": severity,
        "timestamp": notification.since.isoformat(),
        "component": "WhatsApp",
        "group": notification.rule,
        "class": notification.kind,
        "custom_details": {label: text[:_FACT_LENGTH] for label, text in message.facts}
        | {"Why": message.footer[:_FACT_LENGTH]},
    }
    event["client"] = "webhook_app"
    event["links"] = [{"href": url, "text": label} for label, url in message.links]
    if notification.link:
        event["client_url"] = notification.link
    return event


def dedup_key(notification: Notification) -> str:
    """The key of an incident, also unique among installations that share the routing key."""
    digest = sha256(notification.opened_at.isoformat().encode()).hexdigest()
    return f"webhook_app-{notification.incident_id}-{digest[:16]}"


def _check_answer(answer: HttpAnswer) -> None:
    """Raise SendError unless the event was queued: 202 with the status `success`. 429 and 5xx can be retried."""
    text = f"PagerDuty answered {answer.status} {answer.excerpt!r}"
    if answer.status == httpx.codes.ACCEPTED and _status(answer) == "success":
        return
    if reason := _PERMANENT.get(answer.status):
        raise SendError(f"{text}: {reason}", permanent=True)
    raise SendError(text, permanent=False, retry_after=answer.retry_after)


def _status(answer: HttpAnswer) -> str:
    try:
        body = msgspec.json.decode(answer.text)
    except msgspec.DecodeError:
        return ""
    return str(body.get("status", "")) if isinstance(body, dict) else ""
