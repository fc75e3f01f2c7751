"""A generic webhook, signed by https://www.standardwebhooks.com, for which receivers have libraries.

The address and the secrets are never logged.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from time import time

import httpx
import msgspec

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpClient
from webhook_app.channels.findings import FindingMessage, compose_findings
from webhook_app.channels.incident_text import compose, plain_text
from webhook_app.channels.notification import Notification

_PREFIX = "whsec_"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64  # the specification's bounds


def read_secret(text: str) -> bytes:
    """The key of a secret like whsec_…. ValueError names the fault without the secret."""
    if not text.startswith(_PREFIX):
        raise ValueError("must begin with whsec_")
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("must be base64 after whsec_") from None
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(f"must have {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes, has {len(key)}")
    return key


def sign(message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> str:
    """The webhook-signature header, with one signature per key, so that keys can be rotated."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return " ".join(f"v1,{digest}" for digest in digests)


class Webhook:
    """One address, to which each notification is posted as JSON."""

    name = "webhook"
    pace_s = 0.0

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        timeout: httpx.Timeout = TIMEOUT,
        clock: Callable[[], float] = time,
    ) -> None:
        self._url = url
        self._keys = tuple(keys)
        self._clock = clock
        self._http = HttpClient("the webhook's receiver", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Post it; 2xx is success. Raises SendError, permanent for 410 as in the specification."""
        del earlier
        self._post(notification.id, body_of(notification))

    def send_findings(self, message: FindingMessage) -> None:
        """Post it as `send` does. Raises SendError."""
        self._post(message.id, findings_body(message))

    def _post(self, notification_id: int, body: bytes) -> None:
        message_id, timestamp = f"notification_{notification_id}", int(self._clock())
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(message_id, timestamp, body, self._keys),
        }
        answer = self._http.post(self._url, body, headers)
        if not httpx.codes.is_success(answer.status):
            text = f"the webhook's receiver answered {answer.status} {answer.excerpt!r}"
            gone = answer.status == httpx.codes.GONE
            raise SendError(text, permanent=gone, retry_after=answer.retry_after)


def body_of(notification: Notification) -> bytes:
    """The body: type, time, all fields, and the message as text. It is the same at every try unless a name changes."""
    message = compose(notification)
    return msgspec.json.encode(
        {
            "type": f"incident.{notification.reason}",
            "timestamp": notification.at,
            "data": msgspec.to_builtins(notification)
            | {"headline": message.headline, "text": plain_text(message)},
        }
    )


def findings_body(message: FindingMessage) -> bytes:
    """The body about findings: of the type finding.found for new ones, finding.digest for the weekly digest."""
    text = compose_findings(message)
    return msgspec.json.encode(
        {
            "type": "finding.found" if message.reason == "finding" else "finding.digest",
            "timestamp": message.at,
            "data": msgspec.to_builtins(message) | {"headline": text.headline, "text": plain_text(text)},
        }
    )
