"""An HTTP client for channels, with limits on the time and size of an answer. Parses Retry-After.

Each channel interprets the status itself. Addresses are secrets and never appear in errors.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from msgspec import Struct

from webhook_app.channels import SendError

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
    """A client for one server, which errors call `receiver`. It keeps no connections and no cookies.

    A request runs in an event loop of its own, because only there one deadline can end it in every phase. Answers are
    read as sent: a compressed one of a kilobyte could fill the memory.
    """

    def __init__(
        self,
        receiver: str,
        timeout: httpx.Timeout = TIMEOUT,
        headers: Mapping[str, str] | None = None,
        total_s: float = _TOTAL_TIMEOUT_S,
    ) -> None:
        self._receiver = receiver
        self._timeout = timeout
        self._headers = {"User-Agent": "webhook-app", "Accept-Encoding": "identity"} | dict(headers or {})
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
            return asyncio.run(self._exchange(method, url, body, self._headers | dict(headers)))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as fault:
            raise SendError(f"the address of {self._receiver} is invalid", permanent=True) from fault
        except (httpx.HTTPError, TimeoutError) as fault:
            raise SendError(
                f"{self._receiver} cannot be reached ({type(fault).__name__})", permanent=False
            ) from fault

    async def _exchange(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        async with (
            asyncio.timeout(self._total_s),
            httpx.AsyncClient(timeout=self._timeout, verify=self._certificates) as client,
            client.stream(method, url, content=body, headers=headers) as response,
        ):
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) >= _MAX_ANSWER_BYTES:
                    break
            text = received[:_MAX_ANSWER_BYTES].decode("utf-8", errors="replace")
            return HttpAnswer(response.status_code, text, _retry_after(response.headers))


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
