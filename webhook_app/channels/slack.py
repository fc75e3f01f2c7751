"""Slack by an incoming webhook: one message per notification, floods in digests. The address is a secret.

What its answers mean: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
and https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.alert_text import compose, compose_digest
from webhook_app.channels.notification import Notification
from webhook_app.channels.outgoing import TIMEOUT, HttpAnswer, Outgoing
from webhook_app.channels.slack_blocks import digest_payload, payload

PACE_S = 1.0
"""Slack allows one message per second and channel: https://docs.slack.dev/apis/web-api/rate-limits (read 2026-11)."""
DIGEST_FROM = 6
DIGEST_SIZE = 30

_PERMANENT = {
    400: "Slack does not understand the message or its receiver",  # invalid_payload, user_not_found
    403: "the workspace forbids this webhook to post here",  # action_prohibited
    404: "the webhook was removed or its channel is gone",  # no_service, no_team, channel_not_found
    410: "the channel is archived",  # channel_is_archived
}


class SlackWebhook:
    """Posts to the address that Slack gave for one channel."""

    name = "slack"
    pace_s = PACE_S
    digest_from = DIGEST_FROM
    digest_size = DIGEST_SIZE

    def __init__(self, url: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = url
        self._http = Outgoing("Slack", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Return once Slack has taken it; SendError says whether another try can help."""
        del earlier  # an incoming webhook cannot change what it has posted
        self._post(payload(compose(notification)))

    def send_digest(self, notifications: Sequence[Notification]) -> None:
        """One message that names each alert."""
        self._post(digest_payload(compose_digest(notifications)))

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _post(self, message: dict[str, Any]) -> None:
        _judge(self._http.post(self._url, msgspec.json.encode(message)))


def _judge(answer: HttpAnswer) -> None:
    """Only 200 with the body `ok` means posted; anything not known to be final is worth another try."""
    if answer.status == httpx.codes.OK and answer.words == "ok":
        return
    said = f"Slack answered {answer.status} {answer.words!r}"
    if reason := _PERMANENT.get(answer.status):
        raise SendError(f"{said}: {reason}", permanent=True, of_message=answer.status == 400)
    raise SendError(said, permanent=False, retry_after=answer.retry_after)
