"""Slack by an incoming webhook: one message per notification. The address is a secret and is never logged.

What its answers mean: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
and https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks (read 2026-11).
"""

from typing import Any

import httpx

from webhook_app.channels import SendError
from webhook_app.channels.alert_text import AlertText, compose
from webhook_app.channels.notification import Notification

TIMEOUT = httpx.Timeout(10.0, connect=5.0)

_HEADER_LENGTH = 150  # Slack's limit of a header block
_FACT_LENGTH = 550  # a section takes 3000 characters, and escaping makes five of one at worst
_TEXT_LENGTH = 6000
_LONGEST_PAUSE_S = 3600.0

_PERMANENT = {
    400: "Slack does not understand the message or its receiver",  # invalid_payload, user_not_found
    403: "the workspace forbids this webhook to post here",  # action_prohibited
    404: "the webhook was removed or its channel is gone",  # no_service, no_team, channel_not_found
    410: "the channel is archived",  # channel_is_archived
}


class SlackWebhook:
    """Posts to the address that Slack gave for one channel."""

    name = "slack"

    def __init__(self, url: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = url
        self._client = httpx.Client(timeout=timeout, headers={"User-Agent": "webhook-app"})

    def send(self, notification: Notification) -> None:
        """Return once Slack has taken it; SendError says whether another try can help."""
        try:
            answer = self._client.post(self._url, json=payload(compose(notification)))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as fault:
            raise SendError("the address of the webhook cannot be used", permanent=True) from fault
        except httpx.HTTPError as fault:
            raise SendError(f"Slack cannot be reached ({type(fault).__name__})", permanent=False) from fault
        _judge(answer)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()


def _judge(answer: httpx.Response) -> None:
    """Only 200 with the body `ok` means posted; anything not known to be final is worth another try."""
    words = answer.text.strip()[:200]
    if answer.status_code == httpx.codes.OK and words == "ok":
        return
    said = f"Slack answered {answer.status_code} {words!r}"
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise SendError(said, permanent=False, retry_after=_seconds(answer.headers.get("Retry-After", "")))
    if reason := _PERMANENT.get(answer.status_code):
        raise SendError(f"{said}: {reason}", permanent=True)
    raise SendError(said, permanent=False)


def _seconds(retry_after: str) -> float | None:
    return min(float(retry_after), _LONGEST_PAUSE_S) if retry_after.strip().isdecimal() else None


def payload(message: AlertText) -> dict[str, Any]:
    """The message in Slack's Block Kit, with a text for notifications and screen readers."""
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": _header(message.headline)}},
        *(_section(f"*{label}:* {_escape(_cut(text, _FACT_LENGTH))}") for label, text in message.facts),
    ]
    if message.links:
        blocks.append(_section(" · ".join(f"<{_address(url)}|{label}>" for label, url in message.links)))
    footer = {"type": "mrkdwn", "text": _escape(_cut(message.footer, _FACT_LENGTH))}
    blocks.append({"type": "context", "elements": [footer]})
    facts = [f"{label}: {_cut(text, _FACT_LENGTH)}" for label, text in message.facts]
    return {
        "text": _escape(_cut("\n".join([message.headline, *facts]), _TEXT_LENGTH)),
        "blocks": blocks,
        "unfurl_links": False,
    }


def _header(headline: str) -> str:
    escaped = len(_escape(headline)) - len(headline)
    return _escape(_cut(headline, max(_HEADER_LENGTH - escaped, _HEADER_LENGTH // 5)))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _escape(text: str) -> str:
    """Slack's own three control characters, so that no text becomes a link or calls a whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(url: str) -> str:
    return _escape(url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E"))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
