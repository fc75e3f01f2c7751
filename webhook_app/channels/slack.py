"""Slack by an incoming webhook: one message per notification, with digests for many. The address is a secret.

The meaning of its answers: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
and https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpAnswer, HttpClient
from webhook_app.channels.findings import FindingMessage, compose_findings
from webhook_app.channels.incident_text import compose, compose_digest
from webhook_app.channels.notification import Notification
from webhook_app.channels.slack_blocks import digest_payload, payload

PACE_S = 1.0
"""Slack allows one message per second and channel: https://docs.slack.dev/apis/web-api/rate-limits (read 2026-11)."""
DIGEST_FROM = 6
DIGEST_SIZE = 30

_PERMANENT = {
    400: "the message or its receiver is invalid",  # invalid_payload, user_not_found
    403: "the workspace does not allow this webhook to post here",  # action_prohibited
    404: "the webhook was removed or its channel is gone",  # no_service, no_team, channel_not_found
    410: "the channel is archived",  # channel_is_archived
}


class SlackWebhook:
    """An incoming webhook for one Slack channel."""

    name = "slack"
    pace_s = PACE_S
    digest_from = DIGEST_FROM
    digest_size = DIGEST_SIZE

    def __init__(self, url: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = url
        self._http = HttpClient("Slack", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Post it. Raises SendError."""
        del earlier  # an incoming webhook cannot edit its messages
        self._post(payload(compose(notification)))

    def send_digest(self, notifications: Sequence[Notification]) -> None:
        """Post one message that lists each incident."""
        self._post(digest_payload(compose_digest(notifications)))

    def send_findings(self, message: FindingMessage) -> None:
        """Post it. Raises SendError."""
        self._post(payload(compose_findings(message)))

    def _post(self, message: dict[str, Any]) -> None:
        _check_answer(self._http.post(self._url, msgspec.json.encode(message)))


def _check_answer(answer: HttpAnswer) -> None:
    """Raise SendError unless it was posted: 200 with the body `ok`. Faults not known to be permanent are retried."""
    if answer.status == httpx.codes.OK and answer.excerpt == "ok":
        return
    text = f"Slack answered {answer.status} {answer.excerpt!r}"
    if reason := _PERMANENT.get(answer.status):
        raise SendError(f"{text}: {reason}", permanent=True, of_message=answer.status == 400)
    raise SendError(text, permanent=False, retry_after=answer.retry_after)
