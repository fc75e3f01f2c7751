"""A generic webhook, signed as https://www.standardwebhooks.com says, so that receivers have libraries for it.

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
from webhook_app.channels.alert_text import compose, plain
from webhook_app.channels.notification import Notification
from webhook_app.channels.outgoing import TIMEOUT, Outgoing

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64  # the specification's bounds


def read_secret(text: str) -> bytes:
    """The key of a secret like whsec_…. ValueError says what is wrong with it, without repeating it."""
    if not text.startswith(_PREFIX):
        raise ValueError("must begin with whsec_")
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("must be base64 after whsec_") from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"must hold {_LEAST_BYTES} to {_MOST_BYTES} bytes, holds {len(key)}")
    return key


def sign(message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> str:
    """The webhook-signature header: one signature per key, so that a key can be replaced without a gap."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return " ".join(f"v1,{digest}" for digest in digests)


class Webhook:
    """Posts each notification as JSON to one address."""

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
        self._http = Outgoing("the webhook's receiver", timeout)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Return once it was answered 2xx. 410 is final, as the specification says; all else is tried again."""
        del earlier
        body = body_of(notification)
        message_id, timestamp = f"notification_{notification.id}", int(self._clock())
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(message_id, timestamp, body, self._keys),
        }
        answer = self._http.post(self._url, body, headers)
        if not httpx.codes.is_success(answer.status):
            said = f"the webhook's receiver answered {answer.status} {answer.words!r}"
            gone = answer.status == httpx.codes.GONE
            raise SendError(said, permanent=gone, retry_after=answer.retry_after)

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()


def body_of(notification: Notification) -> bytes:
    """What is posted: its type, when, every fact, and the same in words. The same at every try."""
    message = compose(notification)
    return msgspec.json.encode(
        {
            "type": f"alert.{notification.reason}",
            "timestamp": notification.at,
            "data": msgspec.to_builtins(notification)
            | {"headline": message.headline, "text": plain(message)},
        }
    )
