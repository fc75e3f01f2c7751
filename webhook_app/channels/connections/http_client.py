"""An HTTP client for channels, with limits on the time and size of an answer. Parses Retry-After.

Each channel interprets the status itself. Addresses are secrets and never appear in errors.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from msgspec import Struct

from webhook_app.channels import SendError
from webhook_app.http_exchange import exchange

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MAX_PAUSE_S = 3600.0

_TOTAL_TIMEOUT_S = 30.0  # a receiver that sends a byte every nine seconds must not block a channel forever
_MAX_ANSWER_BYTES = 65_536


class HttpAnswer(Struct, frozen=True):
    """An HTTP answer. `retry_after`: the pause that the server asks for, in seconds."""

    status: int
    text: str
    retry_after: float | None

    @property
    def excerpt(self) -> str:
        """The beginning of the text, for log lines."""
        return self.text.strip()[:200]


class HttpClient:
    """A client for one server, which errors call `receiver`."""

    def __init__(
        self,
        receiver: str,
        timeout: httpx.Timeout = TIMEOUT,
        headers: Mapping[str, str] | None = None,
        total_s: float = _TOTAL_TIMEOUT_S,
    ) -> None:
        self._receiver = receiver
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._total_s = total_s
        self._certificates = httpx.create_ssl_context()

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Post a JSON body and return the answer with any status. Raises SendError if there is none."""
        return self._request("POST", url, body, {"Content-Type": "application/json"} | dict(headers or {}))

    def get(self, url: str) -> HttpAnswer:
        """Return the answer to a GET with any status. Raises SendError if there is none."""
        return self._request("GET", url, b"", {})

    def _request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        try:
            answer = exchange(
                method,
                url,
                headers=self._headers | dict(headers),
                body=body,
                timeout=self._timeout,
                total_s=self._total_s,
                max_bytes=_MAX_ANSWER_BYTES,
                certificates=self._certificates,
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as fault:
            raise SendError(f"the address of {self._receiver} is invalid", permanent=True) from fault
        except httpx.HTTPError as fault:
            raise SendError(
                f"{self._receiver} cannot be reached ({type(fault).__name__})", permanent=False
            ) from fault
        text = answer.body[:_MAX_ANSWER_BYTES].decode("utf-8", errors="replace")
        return HttpAnswer(answer.status, text, _retry_after(answer.headers))


def _retry_after(headers: httpx.Headers) -> float | None:
    """The pause in seconds. RFC 9110 allows a number or a date; a date is relative to the server's own Date header."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.replace(".", "", 1).isdecimal():
        return min(float(value), MAX_PAUSE_S)
    until, now = _date(value), _date(headers.get("Date", "")) or datetime.now(UTC)
    if until is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), MAX_PAUSE_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
